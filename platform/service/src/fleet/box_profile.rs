//! Boxes of other makers: the profiles that this platform knows, and the boxes that connect by them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};
use domain::box_profile::{
    Bootstrap, BoxValues, Confirmation, Login, NATIVE, Password, PasswordStrength, Profile,
    RenderError, SpeechSource, Topics, ValueError,
};
use domain::command::CommandType;
use domain::device::Capability;
use serde::Serialize;
use store::fleet::device::Device;
use utoipa::ToSchema;
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

    /// A box with this profile and these values. None: the profile is not known, or speaks the contract.
    pub fn vendor_box(&self, profile: &str, values: BoxValues) -> Option<VendorBox> {
        let profile = Arc::clone(self.get(profile)?);
        Some(VendorBox { profile, values })
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// A kind of box, and what it promises.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BoxProfile)]
pub struct ProfileView {
    /// The name by which devices name it.
    pub name: String,
    /// What people call the box.
    pub title: String,
    /// The best that is known of a payment that it was sent.
    pub confirmation: Confirmation,
    /// Whether it ignores a payment that comes again.
    pub deduplicates: bool,
    /// Whose words it says.
    pub speech: SpeechSource,
    /// How it comes by its settings, `typed_in` or `dev_config`; null for a box that is activated.
    pub bootstrap: Option<&'static str>,
    /// What it has; null for a box that is registered with what it has.
    pub capabilities: Option<Vec<Capability>>,
    /// The commands that it has.
    pub commands: Vec<CommandType>,
    /// The random bits of its passwords; null for a box with a certificate.
    pub password_bits: Option<u32>,
    /// Why these are less than 128, if they are.
    pub weaker: Option<String>,
    /// Where its facts are from.
    pub sources: Vec<String>,
    /// What no source confirms.
    pub unconfirmed: Vec<UnconfirmedView>,
}

/// A key of a profile for which there is no published text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnconfirmedKey)]
pub struct UnconfirmedView {
    /// The key.
    pub key: String,
    /// What is not known.
    pub note: String,
}

impl From<&Profile> for ProfileView {
    fn from(profile: &Profile) -> Self {
        let strength = profile.password_strength();
        let commands = CommandType::ALL.iter().copied();
        let unconfirmed = profile.unconfirmed().iter().map(|one| UnconfirmedView {
            key: one.key.clone(),
            note: one.note.clone(),
        });
        Self {
            name: profile.name().to_owned(),
            title: profile.title().to_owned(),
            confirmation: profile.confirmation(),
            deduplicates: profile.deduplicates(),
            speech: profile.speech_source(),
            bootstrap: profile.bootstrap().map(Bootstrap::as_str),
            capabilities: profile.capabilities().map(<[Capability]>::to_vec),
            commands: commands.filter(|one| profile.supports(*one)).collect(),
            password_bits: strength.map(|strength| strength.bits),
            weaker: strength.and_then(|strength| strength.weaker.map(str::to_owned)),
            sources: profile.sources().to_vec(),
            unconfirmed: unconfirmed.collect(),
        }
    }
}

/// Every profile that this platform knows, the contract's own first.
pub fn list(context: &Context) -> Vec<ProfileView> {
    let makers = &context.settings().mqtt.profiles;
    let makers = makers
        .0
        .values()
        .map(|profile| ProfileView::from(&**profile));
    let own = Profile::built_in(NATIVE).map(ProfileView::from);
    own.into_iter().chain(makers).collect()
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

    /// How strong its passwords are.
    pub fn password_strength(&self) -> PasswordStrength<'_> {
        of_maker(self.profile.password_strength())
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
        let rendered = self.profile.render(message, &self.values, now)?;
        Ok(rendered.payload)
    }
}

/// What of a device stands in its topics and messages.
pub(super) fn values(device: &Device) -> BoxValues {
    BoxValues {
        serial: device.serial_number.clone(),
        imei: device.imei.clone(),
        product_key: device.product_key.clone(),
        device_id: device.id,
    }
}

fn of_maker<T>(own: Option<T>) -> T {
    own.expect("BoxProfiles has no profile that speaks the contract")
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

/// Notes by what a box can confirm notifications, now that it has subscribed to them: `acknowledged` with PUBACK, or with
/// quality of service 0. To raise its quality is not the server's to do, and to refuse it would silence the box: it is sent
/// everything once on each connection, nothing of it is called received, and the log and the device say why.
pub async fn note_subscription(
    context: &Context,
    vendor: &VendorBox,
    acknowledged: bool,
) -> Result<()> {
    let profile = vendor.profile.confirmation();
    if profile != Confirmation::Puback {
        return Ok(());
    }
    let device_id = vendor.values.device_id;
    let confirmation = if acknowledged {
        profile
    } else {
        Confirmation::Nothing
    };
    if !acknowledged {
        metrics::counter!("vendor_subscriptions_without_puback_total").increment(1);
        tracing::warn!(
            %device_id,
            profile = vendor.profile.name(),
            "a box subscribes with quality of service 0, so that nothing it is sent is confirmed: let it subscribe with 1"
        );
    }
    let mut conn = context.pool().acquire().await?;
    Ok(store::fleet::device::note_confirmation(&mut conn, device_id, confirmation).await?)
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
