//! Boxes of other makers: the profiles that this platform knows, and the boxes that connect by them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use domain::box_profile::{
    BoxValues, Confirmation, Login, NATIVE, Password, Profile, RenderError, SpeechSource, Topics,
    ValueError,
};
use domain::command::CommandType;
use wire::DownlinkMessage;
use wire::ids::DeviceId;

use crate::{Context, Result};

/// How many boxes are remembered before those without a session are forgotten.
const BOXES_MAX: usize = 131_072;

/// The profiles of other makers' boxes, by name.
#[derive(Debug, Clone, Default)]
pub struct BoxProfiles(BTreeMap<String, Arc<Profile>>);

impl BoxProfiles {
    /// These; of two with the same name the later. Profiles that speak the contract are left out: their boxes are spoken to
    /// as all others.
    pub fn new(profiles: impl IntoIterator<Item = Profile>) -> Self {
        let makers = profiles
            .into_iter()
            .filter(|profile| !profile.speaks_contract());
        let named = makers.map(|profile| (profile.name().to_owned(), Arc::new(profile)));
        Self(named.collect())
    }

    /// The profile of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.0.get(name)
    }

    /// Whether boxes of this profile have this command.
    pub fn supports(&self, name: &str, command: CommandType) -> bool {
        name == NATIVE
            || self
                .get(name)
                .is_some_and(|profile| profile.supports(command))
    }

    /// The profiles whose boxes have this command, the contract's among them.
    pub fn supporting(&self, command: CommandType) -> Vec<String> {
        let makers = self.names().filter(|name| self.supports(name, command));
        std::iter::once(NATIVE)
            .chain(makers)
            .map(str::to_owned)
            .collect()
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A box of another maker: how it is spoken to, and what of it stands in its topics and messages.
#[derive(Debug, Clone)]
pub struct VendorBox {
    /// Its profile.
    pub profile: Arc<Profile>,
    /// What is known of it.
    pub values: BoxValues,
}

impl VendorBox {
    /// How it joins.
    ///
    /// # Errors
    /// A value that the profile needs and the box does not have, or not in a form that is safe.
    pub fn login(&self) -> std::result::Result<Login, ValueError> {
        of_maker(self.profile.login(&self.values))
    }

    /// Its topics.
    ///
    /// # Errors
    /// As [`VendorBox::login`].
    pub fn topics(&self) -> std::result::Result<Topics, ValueError> {
        of_maker(self.profile.topics(&self.values))
    }

    /// A new password, from random bytes.
    ///
    /// # Errors
    /// As [`VendorBox::login`].
    pub fn password(&self, random: &[u8; 32]) -> std::result::Result<Password, ValueError> {
        of_maker(self.profile.password(&self.values, random))
    }

    /// A message as this box reads it.
    ///
    /// # Errors
    /// The box has no such message; its time is over; a value that it cannot be sent.
    pub fn render(
        &self,
        message: &DownlinkMessage,
        now: DateTime<Utc>,
    ) -> std::result::Result<Vec<u8>, RenderError> {
        let clips = match message {
            DownlinkMessage::PaymentSuccess(payment)
                if self.profile.speech_source() == SpeechSource::Clips =>
            {
                let delayed = payment.replay || now >= payment.delayed_after;
                let speech = &payment.speech;
                clips(if delayed {
                    &speech.delayed_text
                } else {
                    &speech.text
                })
            }
            _ => Vec::new(),
        };
        let rendered = self.profile.render(message, &self.values, now, &clips)?;
        Ok(rendered.payload)
    }
}

fn of_maker<T>(own: Option<T>) -> T {
    own.expect("BoxProfiles has no profile that speaks the contract")
}

/// The clips of a sentence: one for each word.
fn clips(sentence: &str) -> Vec<String> {
    let words = sentence.split(|letter: char| !letter.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// The boxes of other makers that have connected to this process. The outbox asks it how a message is written, so that the
/// path of a payment needs no further query.
///
/// An entry is made before the box is admitted and replaced at its next CONNECT; a box whose profile has changed has lost its
/// credentials, so it has no session with an older entry.
#[derive(Debug, Default)]
pub struct VendorBoxes(RwLock<HashMap<DeviceId, Arc<VendorBox>>>);

impl VendorBoxes {
    /// Remembers a box that is about to be admitted. `is_live`: whether a box has a session here.
    pub fn note(&self, vendor: Arc<VendorBox>, is_live: impl Fn(DeviceId) -> bool) {
        let mut boxes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if boxes.len() >= BOXES_MAX {
            boxes.retain(|device_id, _| is_live(*device_id));
        }
        boxes.insert(vendor.values.device_id, vendor);
    }

    /// Forgets a box that is about to be admitted as one of the contract's own.
    pub fn forget(&self, device_id: DeviceId) {
        let known = self.get(device_id).is_some();
        if known {
            let mut boxes = self.0.write().unwrap_or_else(PoisonError::into_inner);
            boxes.remove(&device_id);
        }
    }

    /// The box, if it is one of another maker.
    pub fn get(&self, device_id: DeviceId) -> Option<Arc<VendorBox>> {
        let boxes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        boxes.get(&device_id).cloned()
    }
}

/// Writes down with every device what its profile's notifications can be confirmed by: a profile's file may have changed
/// since. Returns the profiles of registered boxes that this platform does not know; those boxes cannot connect.
pub async fn check_devices(context: &Context) -> Result<Vec<String>> {
    let profiles = &context.settings().mqtt.profiles;
    let mut conn = context.pool().acquire().await?;
    let known: Vec<(&str, Confirmation)> = profiles
        .0
        .iter()
        .map(|(name, profile)| (name.as_str(), profile.confirmation()))
        .collect();
    store::fleet::device::set_confirmations(&mut conn, &known).await?;
    Ok(store::fleet::device::unknown_profiles(&mut conn, &known).await?)
}
