//! A text that lives on the volume.

use axum::body::Bytes;
use axum::http::StatusCode;

const NOTE: &str = "/data/note";
/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 4_096;

type Refusal = (StatusCode, String);

pub(crate) async fn read() -> Result<Vec<u8>, Refusal> {
    tokio::fs::read(NOTE).await.map_err(|e| (StatusCode::NOT_FOUND, format!("{NOTE}: {e}\n")))
}

pub(crate) async fn write(text: Bytes) -> Result<&'static str, Refusal> {
    if text.len() > NOTE_BYTES_MAX {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, format!("at most {NOTE_BYTES_MAX} bytes\n")));
    }
    let new = format!("{NOTE}.new");
    let written = async {
        tokio::fs::write(&new, &text).await?;
        tokio::fs::rename(&new, NOTE).await
    };
    written.await.map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, format!("{NOTE}: {e}\n")))?;
    Ok("written\n")
}
