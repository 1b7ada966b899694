//! The form of a layer of configuration.

use domain::config::{Key, Settings};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use service::Error;
use service::fleet::config::Patch;

use crate::form;
use crate::icon;
use crate::list;
use crate::session::Viewer;
use crate::words::device::Boxes;

/// A layer, as its form has it. An empty text is what the layer does not set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fields {
    volume: String,
    language: String,
    announce_merchant_name: String,
    heartbeat_interval_s: String,
    quiet_start: String,
    quiet_end: String,
    quiet_volume: String,
    reconnect_jitter_s: String,
    display_brightness: String,
}

/// A setting as people read it.
pub(super) fn text(value: &Value, words: &Boxes) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => words.yes.to_owned(),
        Value::Bool(false) => words.no.to_owned(),
        Value::Object(quiet) => {
            let part = |name: &str| {
                quiet
                    .get(name)
                    .map_or_else(String::new, |value| text(value, words))
            };
            let times = format!("{}–{}", part("start"), part("end"));
            match quiet.get("volume") {
                Some(volume) => format!("{times} ({volume})"),
                None => times,
            }
        }
        other => other.to_string(),
    }
}

/// The name of a setting.
pub(super) const fn name(key: Key, words: &Boxes) -> &'static str {
    match key {
        Key::Volume => words.volume,
        Key::Language => words.language,
        Key::AnnounceMerchantName => words.announce_merchant_name,
        Key::HeartbeatIntervalS => words.heartbeat_interval_s,
        Key::QuietHours => words.quiet_hours,
        Key::ReconnectJitterS => words.reconnect_jitter_s,
        Key::DisplayBrightness => words.display_brightness,
    }
}

impl Fields {
    /// What a layer sets.
    pub(super) fn of(layer: &Value) -> Self {
        let plain = |value: Option<&Value>| {
            value.map_or_else(String::new, |value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
        };
        let of = |key: Key| plain(layer.get(key.as_str()));
        let quiet = |name: &str| {
            plain(
                layer
                    .get(Key::QuietHours.as_str())
                    .and_then(|quiet| quiet.get(name)),
            )
        };
        Self {
            volume: of(Key::Volume),
            language: of(Key::Language),
            announce_merchant_name: of(Key::AnnounceMerchantName),
            heartbeat_interval_s: of(Key::HeartbeatIntervalS),
            quiet_start: quiet("start"),
            quiet_end: quiet("end"),
            quiet_volume: quiet("volume"),
            reconnect_jitter_s: of(Key::ReconnectJitterS),
            display_brightness: of(Key::DisplayBrightness),
        }
    }

    /// The change that makes a layer of it.
    ///
    /// # Errors
    /// What is to be a number and is none.
    pub(super) fn patch(&self) -> Result<Patch, Error> {
        let number = |field: &str, text: &str| match text.trim() {
            "" => Ok(Value::Null),
            text => {
                let number: u64 = text
                    .parse()
                    .map_err(|_| Error::field(field, "expected a number"))?;
                Ok::<_, Error>(json!(number))
            }
        };
        let word = |text: &str| list::given(text).map_or(Value::Null, Value::from);
        let quiet = [&self.quiet_start, &self.quiet_end, &self.quiet_volume];
        let quiet = if quiet.iter().all(|text| text.trim().is_empty()) {
            Value::Null
        } else {
            let volume = number("quiet_hours.volume", &self.quiet_volume)?;
            json!({ "start": self.quiet_start.trim(), "end": self.quiet_end.trim(), "volume": volume })
        };
        let announce = match self.announce_merchant_name.as_str() {
            "" => Value::Null,
            text => json!(text == "true"),
        };
        let of = |key: Key, text: &str| number(key.as_str(), text);
        let values = [
            (Key::Volume, of(Key::Volume, &self.volume)?),
            (Key::Language, word(&self.language)),
            (Key::AnnounceMerchantName, announce),
            (
                Key::HeartbeatIntervalS,
                of(Key::HeartbeatIntervalS, &self.heartbeat_interval_s)?,
            ),
            (Key::QuietHours, quiet),
            (
                Key::ReconnectJitterS,
                of(Key::ReconnectJitterS, &self.reconnect_jitter_s)?,
            ),
            (
                Key::DisplayBrightness,
                of(Key::DisplayBrightness, &self.display_brightness)?,
            ),
        ];
        let settings: Settings = values
            .into_iter()
            .map(|(key, value)| (key.as_str().to_owned(), value))
            .collect::<Map<_, _>>();
        Ok(Patch(settings))
    }

    /// The form of a layer.
    pub(super) fn form(&self, action: &str, wrong: Option<&str>, viewer: &Viewer) -> Markup {
        let own = Boxes::of(viewer.language);
        let number = |key: Key, value: &str, max: u32| {
            html! {
                label { (name(key, own)) input type="number" name=(key.as_str()) value=(value) min="0" max=(max); }
            }
        };
        let time = |name: &str, label: &str, value: &str| {
            html! { label { (label) input type="time" name=(name) value=(value); } }
        };
        let names = [("true", own.yes), ("false", own.no)];
        html! {
            @if let Some(wrong) = wrong { p.error role="alert" { (icon::alert()) (wrong) } }
            form.sheet-form #config-form method="post" action=(action) {
                (form::secret(viewer))
                p.quiet { (own.empty_removes) }
                div.grid {
                    (number(Key::Volume, &self.volume, 10))
                    label { (own.language) input name="language" value=(self.language) maxlength="5"; }
                    (list::choice("announce_merchant_name", &self.announce_merchant_name, own.announce_merchant_name, own.unset, &names))
                    (number(Key::HeartbeatIntervalS, &self.heartbeat_interval_s, 86_400))
                    (time("quiet_start", own.quiet_start, &self.quiet_start))
                    (time("quiet_end", own.quiet_end, &self.quiet_end))
                    label { (own.quiet_volume) input type="number" name="quiet_volume" value=(self.quiet_volume) min="0" max="10"; }
                    (number(Key::ReconnectJitterS, &self.reconnect_jitter_s, 3600))
                    (number(Key::DisplayBrightness, &self.display_brightness, 100))
                }
                button.primary { (own.save) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_makes_the_layer_that_it_shows() {
        let layer = json!({
            "volume": 3, "language": "jv", "announce_merchant_name": false,
            "quiet_hours": { "start": "22:00", "end": "06:00", "volume": 1 },
        });
        let Patch(patch) = Fields::of(&layer).patch().unwrap();
        let mut made = Settings::from_iter([
            ("volume".to_owned(), json!(9)),
            ("display_brightness".to_owned(), json!(5)),
        ]);
        domain::config::patch(&mut made, &patch).unwrap();
        assert_eq!(Value::Object(made), layer);
        let Patch(nothing) = Fields::default().patch().unwrap();
        assert!(nothing.values().all(Value::is_null));
        let wrong = Fields {
            volume: "loud".to_owned(),
            ..Fields::default()
        };
        assert!(wrong.patch().is_err());
    }
}
