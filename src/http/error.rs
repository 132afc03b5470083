//! Why a request gets no answer: as JSON, `{"error": "..."}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

use crate::path::NotUnderstood;
use crate::path::reclassify::ReclassifyError;
use crate::store::{BackupError, StoreError, TakeInError};

#[derive(Debug, Error)]
pub enum ApiError {
    #[error("{0}")]
    Question(#[from] NotUnderstood),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    NotFound(String),
    #[error("a bearer token is needed: the one in the store's api.token")]
    NoToken,
    #[error("the Host header must name a loopback address")]
    WrongHost,
    #[error("{0}")]
    TooLarge(String),
    #[error("only GET is answered here, and on api.sock POST for what changes the store")]
    Method,
    #[error("{0}")]
    Backup(#[from] BackupError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    TakeIn(#[from] TakeInError),
    #[error("{0}")]
    Reclassify(#[from] ReclassifyError),
    #[error("another examination is under way: ask again when it is done")]
    Busy,
    #[error("another export of what matches a question is under way: ask again when it is done")]
    BusyExporting,
    #[error("the request did not come to its end in time")]
    Slow,
    #[error("{0}")]
    Unwritten(String),
    #[error("the answer could not be made")]
    Broken,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Question(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::WrongHost => StatusCode::FORBIDDEN,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Backup(error) if error.is_refusal() => StatusCode::CONFLICT,
            Self::Backup(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TakeIn(TakeInError::Unframeable(_)) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::BusyExporting => StatusCode::CONFLICT,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Unwritten(_) | Self::Store(_) | Self::TakeIn(_) | Self::Reclassify(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = json!({"error": self.to_string()});
        if let (Self::Question(error), Some(body)) = (&self, body.as_object_mut()) {
            body.insert("column".to_owned(), error.column.into());
        }
        (self.status(), Json(body)).into_response()
    }
}
