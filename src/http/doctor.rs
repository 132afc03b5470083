//! `/api/v1/doctor`: one examination at a time, bounded in time. Nothing that sends a message or attacks a listener is had here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};

use super::api::{Api, off_thread, parameters};
use super::error::ApiError;
use crate::doctor::examine::{Doctor, Wishes};
use crate::doctor::message::Stopped;
use crate::doctor::upstream::probe;
use crate::doctor::{Report, seen};
use crate::trace::RecordId;

/// An examination takes no longer.
const LIMIT: Duration = Duration::from_secs(55);
/// All together leave time to say what wasn't done.
const ALL: Duration = Duration::from_secs(50);
/// Octets of a name.
const NAME: usize = 255;

/// The doctor as it is at any time, and its only chair.
#[derive(Debug, Clone)]
pub struct Practice {
    doctor: watch::Receiver<Doctor>,
    chair: Arc<Semaphore>,
}

impl Practice {
    pub fn new(doctor: watch::Receiver<Doctor>) -> Self {
        Self { doctor, chair: Arc::new(Semaphore::new(1)) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Examine {
    #[serde(default = "all")]
    target: String,
    name: Option<String>,
    rcpt: Option<String>,
}

fn all() -> String {
    "all".to_owned()
}

pub(super) async fn examine(State(api): State<Api>, query: Result<Query<Examine>, QueryRejection>) -> Result<Response, ApiError> {
    let Query(asked) = query.map_err(parameters)?;
    let Some(practice) = api.practice.clone() else { return Err(ApiError::NotFound("there is no doctor in this process".to_owned())) };
    let Ok(_seat) = practice.chair.clone().try_acquire_owned() else { return Err(ApiError::Busy) };
    if asked.name.as_ref().is_some_and(|name| name.len() > NAME) {
        return Err(ApiError::TooLarge(format!("name is longer than {NAME} octets")));
    }
    let doctor = practice.doctor.borrow().clone();
    let report = tokio::time::timeout(LIMIT, report(api, doctor, asked)).await.map_err(|_| ApiError::Slow)??;
    Ok(Json(report).into_response())
}

async fn report(api: Api, doctor: Doctor, asked: Examine) -> Result<Report, ApiError> {
    let name = || asked.name.clone().ok_or_else(|| ApiError::BadRequest(format!("target={} needs a name", asked.target)));
    match asked.target.as_str() {
        "all" => {
            let own = own(&api, &doctor).await?;
            Ok(doctor.all(Some(own), ALL).await)
        }
        "self" => own(&api, &doctor).await,
        "dns" => {
            let name = name()?;
            let seen = selectors(&api, &name).await?;
            Ok(doctor.domain(&name, &seen, false).await)
        }
        "sender" => {
            let name = name()?;
            let address: IpAddr = name.parse().map_err(|_| ApiError::BadRequest(format!("{name:?} is no IP address")))?;
            Ok(doctor.sender(address, &[]).await)
        }
        "upstream" => {
            let rcpt = asked.rcpt.as_deref().map(probe::address).transpose().map_err(ApiError::BadRequest)?;
            let upstream = doctor.upstream_named(asked.name.as_deref()).map_err(|error| ApiError::NotFound(error.to_string()))?.clone();
            Ok(doctor.upstream(&upstream, &Wishes { rcpt, ..Wishes::default() }).await)
        }
        "message" => {
            let id: RecordId = name()?.parse().map_err(|error: crate::trace::id::NotAnId| ApiError::BadRequest(error.to_string()))?;
            let traces = api.traces.clone();
            let record = off_thread(move || traces.record(id)).await?;
            let record = record.ok_or_else(|| ApiError::NotFound(format!("no record {id}")))?;
            let stopped = Stopped::of(&record);
            let stopped = stopped.ok_or_else(|| ApiError::BadRequest(format!("{id} tells of no message and no connection")))?;
            let own = own(&api, &doctor).await?;
            Ok(doctor.message(&stopped, Some(own)).await)
        }
        other => Err(ApiError::BadRequest(format!("target={other:?} is none of all, dns, upstream, sender, message, self"))),
    }
}

/// Those that the traces have of a domain; none of what is no domain.
async fn selectors(api: &Api, domain: &str) -> Result<Vec<String>, ApiError> {
    let (store, domain) = (api.traces.store().clone(), domain.to_owned());
    off_thread(move || seen::selectors(&store, &domain)).await
}

async fn own(api: &Api, doctor: &Doctor) -> Result<Report, ApiError> {
    let (doctor, store) = (doctor.clone(), api.traces.store().clone());
    off_thread(move || doctor.own(&store, true)).await
}
