//! `/api/v1/running`: how this process was started and where it listens, so that commands which examine a configuration examine the one
//! that is in effect. On `api.sock` only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::api::Api;

/// The configuration in effect, by what leads to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The file, by its whole path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<PathBuf>,
    /// Flags that count before it, as they were typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smart_host: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Of what came of both.
    pub digest: String,
    /// Addresses that are listened on, by the listener's name.
    pub listeners: BTreeMap<String, Vec<SocketAddr>>,
}

pub(super) async fn running(State(api): State<Api>) -> Json<Running> {
    Json(api.running.borrow().clone())
}
