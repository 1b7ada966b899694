//! Which placeholders have a value in which message.

use super::template::Placeholder::{self, *};
use crate::command::CommandType;

/// In every message, beside the values of the box.
pub(super) const EVERY: &[Placeholder] = &[TimeWib, UnixS];
/// The forms of an amount.
pub(super) const AMOUNTS: &[Placeholder] = &[Amount, AmountDecimal, AmountHundredths];

/// What a code to be shown need not have: an amount, and a time when it runs out.
pub(super) const MAY_LACK: &[Placeholder] = &[Amount, AmountDecimal, AmountHundredths, ExpiresInS];

pub(super) const PAYMENT: &[Placeholder] = &[
    Id,
    TransactionId,
    Amount,
    AmountDecimal,
    AmountHundredths,
    Text,
    Clips,
    Clip,
    MerchantName,
    PaidAtWib,
];
/// A payment says how much.
pub(super) const PAYMENT_NEEDS: &[Placeholder] =
    &[Amount, AmountDecimal, AmountHundredths, Text, Clips, Clip];

pub(super) const QR: &[Placeholder] = &[
    Id,
    TransactionId,
    Amount,
    AmountDecimal,
    AmountHundredths,
    QrPayload,
    ExpiresInS,
];
pub(super) const QR_NEEDS: &[Placeholder] = &[QrPayload];
pub(super) const QR_REFUSED: &[Placeholder] = &[Text];

pub(super) const CONFIGURATION: &[Placeholder] = &[
    Version,
    Volume,
    VolumePercent,
    Language,
    HeartbeatIntervalS,
    DisplayBrightness,
];
pub(super) const CONFIGURATION_NEEDS: &[Placeholder] = &[
    Volume,
    VolumePercent,
    Language,
    HeartbeatIntervalS,
    DisplayBrightness,
];

/// What a command's message may have, and of what it must have one.
pub(super) const fn command(kind: CommandType) -> (&'static [Placeholder], &'static [Placeholder]) {
    match kind {
        CommandType::AnnounceText => (&[Id, Text], &[Text]),
        CommandType::AnnounceTotal => (
            &[
                Id,
                Text,
                Clips,
                Clip,
                Amount,
                AmountDecimal,
                AmountHundredths,
            ],
            &[Text, Clips, Clip, Amount, AmountDecimal, AmountHundredths],
        ),
        CommandType::PlayTest => (&[Id, Text, Clips, Clip], &[]),
        CommandType::SetVolume => (&[Id, Volume, VolumePercent], &[Volume, VolumePercent]),
        CommandType::DisplayQr => (
            &[
                Id,
                Amount,
                AmountDecimal,
                AmountHundredths,
                QrPayload,
                ExpiresInS,
            ],
            &[QrPayload],
        ),
        CommandType::UpdateFirmware => (&[Id, Url, Sha256, Version], &[Url]),
        CommandType::ClearDisplay
        | CommandType::Reboot
        | CommandType::CollectDiagnostics
        | CommandType::SyncConfig => (&[Id], &[]),
    }
}
