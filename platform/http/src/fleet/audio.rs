//! `/admin/audio/clips.json`: the recordings that a box without a speech synthesiser needs.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use service::{Context, Error};
use utoipa::{IntoParams, ToSchema};
use wire::Language;

use crate::auth::Staff;
use crate::auth::grants::DeviceRead;
use crate::envelope::{self, Data};
use crate::error::ApiError;
use crate::query::Query;
use crate::routes::Routes;

pub(super) fn routes() -> Routes {
    Routes::of("Audio").get(
        "/admin/audio/clips.json",
        clips,
        "The names of all clips that announcements use, for each language, with what each says",
        &[],
    )
}

#[derive(Deserialize, IntoParams)]
struct ClipQuery {
    /// Only this one: `id`, `en`, `jv` or `su`.
    language: Option<String>,
}

/// A recording.
#[derive(Debug, Serialize, ToSchema)]
struct Clip {
    /// Lower-case letters and digits.
    name: &'static str,
    /// What it says.
    text: &'static str,
}

/// The recordings of a language, by their names.
#[derive(Debug, Serialize, ToSchema)]
struct LanguageClips {
    language: Language,
    clips: Vec<Clip>,
}

/// The recordings of each language.
#[derive(Debug, Serialize, ToSchema)]
struct AudioClips {
    languages: Vec<LanguageClips>,
}

async fn clips(
    _: Staff<DeviceRead>,
    State(_): State<Context>,
    Query(query): Query<ClipQuery>,
) -> Result<Data<AudioClips>, ApiError> {
    let only = query
        .language
        .map(|tag| tag.parse::<Language>())
        .transpose()
        .map_err(|unknown| Error::field("language", unknown.to_string()))?;
    let of_language = |language| LanguageClips {
        language,
        clips: wire::speech::clips(language)
            .into_iter()
            .map(|token| Clip {
                name: token.clip,
                text: token.text,
            })
            .collect(),
    };
    let languages = Language::ALL
        .into_iter()
        .filter(|language| only.is_none_or(|only| only == *language))
        .map(of_language)
        .collect();
    envelope::ok(&AudioClips { languages })
}
