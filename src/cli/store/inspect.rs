//! `barnacle inspect`.

use std::fmt::Write as _;
use std::process::ExitCode;

use barnacle_storage::{Checker, Inspection, MessageView, Selection, SessionView};

use super::table::{Table, safe};
use super::{InspectArguments, finish, refuse};

pub(super) fn run(arguments: &InspectArguments) -> ExitCode {
    let selection = Selection {
        client_id: arguments.session.clone(),
        filter: arguments.topic.clone(),
        messages: arguments.messages,
    };
    let inspection = match Checker::open(&arguments.directory) {
        Ok(checker) => checker.inspect(&selection),
        Err(error) => return refuse(&error),
    };
    if let Some(client_id) = &arguments.session
        && inspection.sessions.is_empty()
    {
        eprintln!("there is no session {}", safe(client_id));
        return ExitCode::from(super::FAILED);
    }
    let detailed = arguments.session.is_some();
    finish(&inspection, arguments.json, || text(&inspection, detailed), !inspection.damaged)
}

fn text(inspection: &Inspection, detailed: bool) -> String {
    let mut text = String::new();
    let schema = inspection.schema.map_or_else(|| "unknown".to_owned(), |schema| schema.to_string());
    let _ = writeln!(
        text,
        "schema {schema}, commit {}, head {}, {}; {} sessions, {} retained messages",
        inspection.commit,
        inspection.head,
        if inspection.clean_shutdown { "closed in order" } else { "not closed in order" },
        inspection.sessions.len(),
        inspection.retained_total,
    );
    if inspection.damaged {
        let _ = writeln!(text, "DAMAGED: some of it could not be read, `barnacle check` names it");
    }
    let _ = writeln!(text);
    let mut table = Table::new([
        "client", "state", "filters", "waiting", "bytes", "shared", "bytes", "out", "in", "dropped", "will",
    ]);
    for session in &inspection.sessions {
        table.row([
            safe(&session.client_id),
            if session.connected { "connected" } else { "offline" }.to_owned(),
            session.subscriptions.len().to_string(),
            session.backlog_messages.to_string(),
            session.backlog_bytes.to_string(),
            at_most(session.shared_backlog_messages_at_most),
            at_most(session.shared_backlog_bytes_at_most),
            session.exchanges.len().to_string(),
            session.inbound.to_string(),
            session.dropped.iter().map(|drop| drop.exactly + drop.shared_at_most).sum::<u64>().to_string(),
            session.will_topic.as_deref().map_or_else(|| "-".to_owned(), safe),
        ]);
    }
    text.push_str(&table.render(""));
    text.push_str(&groups(inspection));
    for session in &inspection.sessions {
        if detailed {
            details(session, &mut text);
        }
        if !session.messages.is_empty() {
            let _ = writeln!(text, "\nWaiting for {}:", safe(&session.client_id));
            text.push_str(&messages(&session.messages));
        }
    }
    if !inspection.retained.is_empty() {
        let _ = writeln!(text, "\nRetained:");
        text.push_str(&messages(&inspection.retained));
    }
    text
}

fn groups(inspection: &Inspection) -> String {
    if inspection.groups.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["group", "members", "waiting", "bytes", "out", "dropped"]);
    for group in &inspection.groups {
        table.row([
            safe(&group.filter),
            group.members.len().to_string(),
            group.waiting_messages.to_string(),
            group.waiting_bytes.to_string(),
            (group.exchanges + group.sent).to_string(),
            group.dropped.iter().map(|drop| drop.exactly).sum::<u64>().to_string(),
        ]);
    }
    format!("\n{}", table.render(""))
}

fn at_most(amount: u64) -> String {
    if amount == 0 { "0".to_owned() } else { format!("≤{amount}") }
}

fn details(session: &SessionView, text: &mut String) {
    let mut subscriptions = Table::new(["filter", "QoS", "log"]);
    for subscription in &session.subscriptions {
        subscriptions.row([
            safe(&subscription.filter),
            subscription.qos.to_string(),
            subscription.log.map_or_else(|| "its own".to_owned(), |log| log.to_string()),
        ]);
    }
    let mut exchanges = Table::new(["packet identifier", "QoS", "LSN", "state"]);
    for exchange in &session.exchanges {
        let state = if exchange.received { "received, to be released" } else { "sent" };
        exchanges.row([
            exchange.packet_id.to_string(),
            exchange.qos.to_string(),
            exchange.lsn.to_string(),
            state.to_owned(),
        ]);
    }
    let expiry = match session.session_expiry_interval {
        u32::MAX => "never expires".to_owned(),
        seconds => format!("expires {seconds} s after it is left"),
    };
    let _ = writeln!(
        text,
        "\nSession {}, protocol level {}, {expiry}, position {}",
        session.id, session.protocol_level, session.position
    );
    let _ = write!(text, "\n{}", subscriptions.render(""));
    let rows = exchanges.render("");
    if !rows.is_empty() {
        let _ = write!(text, "\n{rows}");
    }
}

fn messages(views: &[MessageView]) -> String {
    let mut table = Table::new(["LSN", "QoS", "publisher", "topic", "bytes", "payload"]);
    for view in views {
        table.row([
            view.lsn.to_string(),
            view.qos.to_string(),
            safe(&view.publisher),
            safe(&view.topic),
            view.payload_bytes.to_string(),
            safe(&view.payload.chars().take(60).collect::<String>()),
        ]);
    }
    table.render("")
}
