//! Shared subscriptions: what a member asks of its group, as the store's operations.

use barnacle_storage::{GroupTake, LogId, Lsn, Operation, Span};

use super::Owner;
use crate::protocol::TopicFilter;
use crate::session::Request;

/// What the store is to do for a request, other than a publish, of a session that ends with its connection. Nothing is
/// kept of it, but its subscriptions take their place in the order, and groups know their members.
pub(super) fn operations_of_transient(request: &Request, owner: &Owner, operations: &mut Vec<Operation>) {
    let shared = |filter: &&TopicFilter| filter.shared().is_some();
    match request {
        Request::Subscribe { filters, .. } => {
            operations.push(Operation::TakePosition);
            let joined = filters.iter().flatten().map(|filter| &filter.filter).filter(shared);
            operations.extend(joined.map(|filter| Operation::JoinGroup {
                filter: filter.as_byte_string().clone(),
                member: owner.connection,
            }));
        }
        Request::Unsubscribe { filters, .. } => {
            operations.extend(filters.iter().filter(shared).map(|filter| Operation::LeaveGroup {
                filter: filter.as_byte_string().clone(),
                member: owner.connection,
                unsent: Vec::new(),
            }));
        }
        request => operations.extend(of_member(request, owner)),
    }
}

/// What any member may ask; `None` for other requests.
pub(super) fn of_member(request: &Request, owner: &Owner) -> Option<Operation> {
    if let Request::CountRefused(logs) = request {
        return Some(Operation::CountRefused(logs.iter().map(|log| LogId(*log)).collect()));
    }
    let Request::TakeFromGroup { filter, taken, sent, received } = request else { return None };
    let lsns = |numbers: &[u64]| numbers.iter().map(|lsn| Lsn(*lsn)).collect();
    Some(Operation::TakeFromGroup(GroupTake {
        filter: filter.clone(),
        member: owner.connection,
        taken: taken
            .iter()
            .map(|(after, through)| Span { after: Lsn(*after), through: Lsn(*through) })
            .collect(),
        sent: lsns(sent),
        received: lsns(received),
    }))
}
