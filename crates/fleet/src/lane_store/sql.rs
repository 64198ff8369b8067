//! A statement that is put together from parts, with the parameters that they name.

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::connection::{Connection, Parameter};
use crate::failure::Result;

/// The parameters of a statement, in the order of their numbers.
#[derive(Default)]
pub(super) struct Parameters<'a>(Vec<(Box<dyn ToSql + Sync + 'a>, Type)>);

impl<'a> Parameters<'a> {
    /// Adds one, and says what the statement calls it.
    pub(super) fn add(&mut self, value: impl ToSql + Sync + 'a, of: Type) -> String {
        self.0.push((Box::new(value), of));
        format!("${}", self.0.len())
    }

    pub(super) fn query(&self, connection: &mut Connection, sql: &str) -> Result<Vec<Row>> {
        connection.query(sql, &self.as_slice())
    }

    pub(super) fn query_one(&self, connection: &mut Connection, sql: &str) -> Result<Row> {
        connection.query_one(sql, &self.as_slice())
    }

    fn as_slice(&self) -> Vec<Parameter<'_>> {
        let all = self.0.iter();
        all.map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
            .collect()
    }
}
