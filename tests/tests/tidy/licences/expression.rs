//! Licence expressions (SPDX 2.3, annex D), as far as Cargo packages use them, and with the slash of
//! older packages for OR.

/// A licence, or several in the way that they are joined.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// One licence; `WITH` an exception it only allows more.
    One(String),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Expression {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let spaced = text.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
        let tokens: Vec<&str> = spaced.split_whitespace().collect();
        let mut rest = tokens.as_slice();
        let expression = any(&mut rest)?;
        rest.is_empty().then_some(expression)
    }

    /// Whether the terms are met if these licences are.
    pub(super) fn is_met(&self, is_allowed: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::One(licence) => is_allowed(licence),
            Self::All(parts) => parts.iter().all(|part| part.is_met(is_allowed)),
            Self::Any(parts) => parts.iter().any(|part| part.is_met(is_allowed)),
        }
    }
}

/// `AND` binds closer than `OR`.
fn any(rest: &mut &[&str]) -> Option<Expression> {
    joined(rest, "OR", Expression::Any, |rest| joined(rest, "AND", Expression::All, one))
}

fn joined(
    rest: &mut &[&str],
    by: &str,
    join: fn(Vec<Expression>) -> Expression,
    part: impl Fn(&mut &[&str]) -> Option<Expression>,
) -> Option<Expression> {
    let first = part(rest)?;
    let mut parts = vec![first];
    while take(rest, by) {
        parts.push(part(rest)?);
    }
    if parts.len() == 1 { parts.pop() } else { Some(join(parts)) }
}

fn one(rest: &mut &[&str]) -> Option<Expression> {
    if take(rest, "(") {
        let inner = any(rest)?;
        return take(rest, ")").then_some(inner);
    }
    let (licence, after) = rest.split_first()?;
    if ["AND", "OR", "WITH", ")"].contains(licence) {
        return None;
    }
    *rest = after;
    if take(rest, "WITH") {
        *rest = rest.split_first()?.1;
    }
    Some(Expression::One((*licence).to_owned()))
}

fn take(rest: &mut &[&str], token: &str) -> bool {
    let is_next = rest.first() == Some(&token);
    if is_next {
        *rest = &rest[1..];
    }
    is_next
}

#[test]
fn expressions_are_met_as_they_are_joined() {
    let check = |text: &str, allowed: &[&str], expected: bool| {
        let expression = Expression::parse(text).unwrap();
        assert_eq!(
            expression.is_met(&|licence| allowed.contains(&licence)),
            expected,
            "{text} by {allowed:?}"
        );
    };
    check("A", &["A"], true);
    check("A", &["B"], false);
    check("A OR B", &["B"], true);
    check("A/B", &["B"], true);
    check("A AND B", &["B"], false);
    check("A AND B", &["A", "B"], true);
    check("A AND B OR C", &["C"], true);
    check("A AND (B OR C)", &["C"], false);
    check("A AND (B OR C)", &["A", "C"], true);
    check("A WITH E AND B", &["A", "B"], true);
}

#[test]
fn broken_expressions_are_refused() {
    for text in ["", "A B", "A AND", "OR A", "(A", "A)", "A WITH"] {
        assert_eq!(Expression::parse(text), None, "{text:?}");
    }
}
