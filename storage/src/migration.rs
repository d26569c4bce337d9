//! From the schema of an older version to this one's.
//!
//! The small families are rewritten in one batch with the new schema's number, so that a crash leaves either the store as it was or
//! the one that it becomes. Logs are not rewritten: their blocks are read by their version byte.
//!
//! | schema | what is different from the one before |
//! |---|---|
//! | 0 | the predecessor that tests plant: packet identifiers received are a list of numbers |
//! | 1 | they are ranges |
//! | 2 | a group's record counts what was dropped of its messages |

use crate::engine::{Engine, EngineError, WriteBatch};
use crate::keys::{self, Family, Flow};
use crate::record;
use crate::recovery::SCHEMA;
use crate::topics::shared_filter;
use crate::{Damaged, DecodeError};

/// What keeps a store from being migrated. It is as it was.
#[derive(Debug)]
pub(crate) enum MigrationError {
    Engine(EngineError),
    Damaged(Damaged),
}

/// Puts what one schema makes of the one before into a batch.
type Step = fn(&dyn Engine, &mut WriteBatch) -> Result<(), MigrationError>;

/// The step from each schema to the next.
const STEPS: [Step; SCHEMA as usize] = [ranges_of_identifiers, counts_of_groups];

/// Brings a store of schema `found`, which is older, to this version's.
pub(crate) fn migrate(engine: &dyn Engine, found: u32) -> Result<(), MigrationError> {
    for schema in found..SCHEMA {
        let mut batch = WriteBatch::default();
        STEPS[schema as usize](engine, &mut batch)?;
        batch.put(keys::META, keys::SCHEMA, record::encode_schema(schema + 1));
        engine.write(&batch, true).map_err(MigrationError::Engine)?;
        tracing::info!(
            from = schema,
            to = schema + 1,
            changes = batch.changes().len(),
            "the store was migrated"
        );
    }
    Ok(())
}

/// Schema 0 to 1.
fn ranges_of_identifiers(engine: &dyn Engine, batch: &mut WriteBatch) -> Result<(), MigrationError> {
    rewrite(engine, keys::FLOW, batch, |key, row| match keys::parse_flow(key) {
        Some((_, Flow::Inbound)) => {
            let identifiers = record::decode_inbound_of_schema_0(row)?;
            Ok(Some(record::encode_inbound(&identifiers.into_iter().collect())))
        }
        _ => Ok(None),
    })
}

/// Schema 1 to 2.
fn counts_of_groups(engine: &dyn Engine, batch: &mut WriteBatch) -> Result<(), MigrationError> {
    rewrite(engine, keys::FILTER, batch, |key, row| match std::str::from_utf8(key).map(shared_filter) {
        Ok(Some(_)) => Ok(Some(record::encode_group(&record::decode_group(row)?))),
        Ok(None) => Ok(None),
        Err(_) => Err(DecodeError::Malformed("filter")),
    })
}

/// Puts what `change` makes of the rows of a family into the batch; `None`: the row stays as it is.
fn rewrite(
    engine: &dyn Engine,
    family: Family,
    batch: &mut WriteBatch,
    change: impl Fn(&[u8], &[u8]) -> Result<Option<Vec<u8>>, DecodeError>,
) -> Result<(), MigrationError> {
    let view = engine.view();
    let mut rows = view.cursor(family, &[], None);
    rows.seek_to_first();
    while let Some((key, row)) = rows.item() {
        let changed =
            change(key, row).map_err(|reason| MigrationError::Damaged(Damaged::new(family, key, reason)))?;
        if let Some(row) = changed {
            batch.put(family, key, row);
        }
        rows.next();
    }
    rows.status().map_err(MigrationError::Engine)
}

#[cfg(test)]
mod tests;
