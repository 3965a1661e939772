//! The parameters of the request for an invoice.

use nostr::types::url::form_urlencoded;
use units::Msat;

use super::{COMMENT_CHARS_MAX, LnurlError};

/// What a payer asks an invoice for. Everything is as it was received, decoded from the URL and no more.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct InvoiceQuery {
    amount: Option<String>,
    zap_request: Option<String>,
    comment: Option<String>,
}

impl InvoiceQuery {
    /// Reads the query of a URL. Parameters that we do not know are passed over, as LUD-06 wants.
    ///
    /// # Errors
    /// [`LnurlError::Repeated`].
    pub fn parse(query: &str) -> Result<Self, LnurlError> {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (name, field) = match name.as_ref() {
                "amount" => ("amount", &mut parsed.amount),
                "nostr" => ("nostr", &mut parsed.zap_request),
                "comment" => ("comment", &mut parsed.comment),
                _ => continue,
            };
            if field.replace(value.into_owned()).is_some() {
                return Err(LnurlError::Repeated(name));
            }
        }
        Ok(parsed)
    }

    /// The amount, which must lie within these bounds.
    pub(super) fn amount(&self, min: Msat, max: Msat) -> Result<Msat, LnurlError> {
        let text = self.amount.as_deref().ok_or(LnurlError::Missing("amount"))?;
        let wrong = LnurlError::Amount { min: min.msat(), max: max.msat() };
        // Digits only: `+1000` and ` 1000` are numbers to some readers.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.starts_with('0') {
            return Err(wrong);
        }
        let amount = text.parse().ok().map(Msat::new).filter(|amount| (min..=max).contains(amount));
        amount.ok_or(wrong)
    }

    /// The comment, if there is one.
    pub(super) fn comment(&self) -> Result<Option<&str>, LnurlError> {
        let comment = self.comment.as_deref().filter(|text| !text.is_empty());
        if comment.is_some_and(|text| text.chars().count() > COMMENT_CHARS_MAX) {
            return Err(LnurlError::Comment);
        }
        Ok(comment)
    }

    /// The zap request, if this is a zap: the text itself, whose hash the invoice carries.
    pub(super) fn zap_request(&self) -> Option<&str> {
        self.zap_request.as_deref().filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(query: &str) -> Option<i64> {
        let bounds = (Msat::new(1_000), Msat::new(9_000));
        InvoiceQuery::parse(query).ok()?.amount(bounds.0, bounds.1).ok().map(Msat::msat)
    }

    #[test]
    fn amount_is_digits_within_bounds_and_stands_once() {
        assert_eq!((amount("amount=1000"), amount("x=1&amount=9000&y")), (Some(1_000), Some(9_000)));
        for query in [
            "",
            "amount",
            "amount=",
            "amount=999",
            "amount=9001",
            "amount=01000",
            "amount=%2B1000",
            "amount=+1000",
            "amount=1e3",
            "amount=1000.0",
            "amount=-1000",
            "amount=18446744073709551616",
            "amount=1000&amount=1000",
        ] {
            assert_eq!(amount(query), None, "{query}");
        }
    }

    #[test]
    fn texts_are_decoded_and_otherwise_left_alone() {
        let query = InvoiceQuery::parse("nostr=%7B%22a%22%3A%20%22%C3%A9%2B%22%7D&comment=a+b").unwrap();
        assert_eq!(query.zap_request(), Some("{\"a\": \"é+\"}"));
        assert_eq!(query.comment().unwrap(), Some("a b"));
        assert!(matches!(InvoiceQuery::parse("nostr=1&nostr=2"), Err(LnurlError::Repeated("nostr"))));
        assert!(matches!(InvoiceQuery::parse("comment=&comment=b"), Err(LnurlError::Repeated("comment"))));
    }

    #[test]
    fn comment_is_counted_in_characters() {
        let of = |count: usize| InvoiceQuery { comment: Some("é".repeat(count)), ..InvoiceQuery::default() };
        assert!(of(COMMENT_CHARS_MAX).comment().is_ok());
        assert!(matches!(of(COMMENT_CHARS_MAX + 1).comment(), Err(LnurlError::Comment)));
    }
}
