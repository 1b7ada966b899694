//! What a page loads beside itself. The path has a hash of the content, so a browser keeps a file until it changes.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// A file that is compiled in.
struct File {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const FILES: [File; 3] = [
    File {
        name: "style.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("../assets/style.css"),
    },
    File {
        name: "script.js",
        content_type: "text/javascript; charset=utf-8",
        content: include_str!("../assets/script.js"),
    },
    File {
        name: "icon.svg",
        content_type: "image/svg+xml",
        content: include_str!("../assets/icon.svg"),
    },
];

/// A year: the path changes with the content.
const FOREVER: &str = "public, max-age=31536000, immutable";

static HASHES: LazyLock<[String; FILES.len()]> = LazyLock::new(|| {
    FILES.each_ref().map(|file| {
        let digest = digest::digest(&digest::SHA256, file.content.as_bytes());
        hex::encode(&digest.as_ref()[..8])
    })
});

/// The path of a file.
pub(crate) fn path(name: &str) -> String {
    let place = FILES.iter().position(|file| file.name == name);
    let hash = place.map_or("", |place| HASHES[place].as_str());
    format!("/assets/{hash}/{name}")
}

/// `/assets/{hash}/{name}`.
pub(crate) async fn file(Path((hash, name)): Path<(String, String)>) -> Response {
    let found = FILES
        .iter()
        .zip(HASHES.iter())
        .find(|(file, known)| file.name == name && **known == hash);
    match found {
        Some((file, _)) => {
            let headers = [(CONTENT_TYPE, file.content_type), (CACHE_CONTROL, FOREVER)];
            (headers, file.content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `/favicon.ico`: browsers ask for it whatever a page says.
pub(crate) async fn icon() -> Response {
    let icon = &FILES[2];
    let headers = [
        (CONTENT_TYPE, icon.content_type),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, icon.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_has_its_hash_in_its_path_and_no_other() {
        let path = path("style.css");
        let hash = path.split('/').nth(2).unwrap();
        assert_eq!(hash.len(), 16);
        let got = |hash: &str| file(Path((hash.to_owned(), "style.css".to_owned())));
        assert_eq!(got(hash).await.status(), StatusCode::OK);
        assert_eq!(
            got("0000000000000000").await.status(),
            StatusCode::NOT_FOUND
        );
    }
}
