//! The sentences that a soundbox speaks.

use crate::message::Speech;
use crate::rupiah::Rupiah;
use crate::words;

/// The language of the sentences (BCP 47).
pub const LANGUAGE: &str = "id";

/// An amount that has no words: negative, or above 999 trillion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are no words for this amount")]
pub struct NoWordsError;

/// The sentences for a payment of `amount`.
///
/// # Errors
/// An amount that has no words.
pub fn payment(amount: Rupiah) -> Result<Speech, NoWordsError> {
    let words = u64::try_from(amount.to_i64())
        .ok()
        .and_then(words::number)
        .ok_or(NoWordsError)?;
    Ok(Speech {
        language: LANGUAGE.to_owned(),
        text: format!("Pembayaran QRIS diterima, {words} rupiah"),
        delayed_text: format!("Pembayaran tertunda diterima, {words} rupiah"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_is_spoken_in_words() {
        let speech = payment(Rupiah::from_i64(50_000)).unwrap();
        assert_eq!(speech.language, "id");
        assert_eq!(
            speech.text,
            "Pembayaran QRIS diterima, lima puluh ribu rupiah"
        );
        assert_eq!(
            speech.delayed_text,
            "Pembayaran tertunda diterima, lima puluh ribu rupiah"
        );
    }

    #[test]
    fn an_amount_without_words_is_an_error() {
        assert_eq!(payment(Rupiah::from_i64(-1)), Err(NoWordsError));
        assert_eq!(payment(Rupiah::from_i64(i64::MAX)), Err(NoWordsError));
    }
}
