//! Cuts a question into words, operators and parentheses.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::field::is_field;
use super::what::NotUnderstood;

/// A part of a question, and its column, counted in characters from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub column: usize,
    pub is: Is,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Is {
    Word(Word),
    And,
    Or,
    Not,
    Open,
    Close,
}

/// The field before the colon, if there is one, and the value without quotes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    pub field: Option<String>,
    pub value: String,
    pub value_column: usize,
    /// It has a star outside of quotes: a pattern.
    pub has_star: bool,
    pub quoted: bool,
}

/// Cuts a question up.
///
/// # Errors
/// A quote that is never closed, or a field without a value: with the column.
pub fn tokens(text: &str) -> Result<Vec<Token>, NotUnderstood> {
    let mut tokens = Vec::new();
    let mut rest = text.chars().zip(1..).peekable();
    let mut depth = 0usize;
    while let Some(&(first, column)) = rest.peek() {
        match first {
            c if c.is_whitespace() => drop(rest.next()),
            '(' => {
                rest.next();
                depth += 1;
                tokens.push(Token { column, is: Is::Open });
            }
            ')' => {
                rest.next();
                depth = depth.saturating_sub(1);
                tokens.push(Token { column, is: Is::Close });
            }
            _ => tokens.push(Token { column, is: Is::Word(word(&mut rest, depth > 0)?) }),
        }
    }
    name_operators(&mut tokens);
    Ok(tokens)
}

type Rest<'a> = std::iter::Peekable<std::iter::Zip<std::str::Chars<'a>, std::ops::RangeFrom<usize>>>;

fn word(rest: &mut Rest<'_>, in_parentheses: bool) -> Result<Word, NotUnderstood> {
    let mut word = Word::default();
    let column = rest.peek().map_or(1, |&(_, at)| at);
    word.value_column = column;
    // Parentheses within a word are its own.
    let mut open = 0usize;
    while let Some(&(c, at)) = rest.peek() {
        match c {
            '"' => {
                rest.next();
                word.quoted = true;
                quoted_part(rest, at, &mut word.value)?;
            }
            ':' if word.field.is_none() && !word.quoted && is_field_name(&word.value) && !is_last(&mut rest.clone()) => {
                rest.next();
                word.field = Some(std::mem::take(&mut word.value).to_ascii_lowercase());
                word.value_column = at + 1;
            }
            c if c.is_whitespace() => break,
            ')' if in_parentheses && open == 0 => break,
            c => {
                open = match c {
                    '(' => open + 1,
                    ')' => open.saturating_sub(1),
                    _ => open,
                };
                word.has_star |= c == '*';
                word.value.push(c);
                rest.next();
            }
        }
    }
    // `2001:db8::1` is an address, not a field.
    if let Some(field) = &word.field
        && is_address(&format!("{field}:{}", word.value))
    {
        word.value = format!("{field}:{}", word.value);
        word.field = None;
    }
    if let Some(name) = word.value.strip_suffix(':').filter(|name| word.field.is_none() && !word.quoted && is_field(name)) {
        let message = format!("{name}: has no value (quote it if it is a word of a subject: \"{name}:\")");
        return Err(NotUnderstood { column, message });
    }
    Ok(word)
}

fn is_address(text: &str) -> bool {
    IpAddr::from_str(text).is_ok() || IpNet::from_str(text).is_ok()
}

fn quoted_part(rest: &mut Rest<'_>, at: usize, value: &mut String) -> Result<(), NotUnderstood> {
    loop {
        match rest.next() {
            Some(('"', _)) => return Ok(()),
            Some(('\\', _)) if matches!(rest.peek(), Some(('"' | '\\', _))) => value.extend(rest.next().map(|(c, _)| c)),
            Some((c, _)) => value.push(c),
            None => return Err(NotUnderstood { column: at, message: "this quote is never closed".to_owned() }),
        }
    }
}

/// `and`, `or` and `not` are operators in capitals, and next to anything that isn't a plain word: a subject that is pasted in
/// ("do not reply") keeps its words.
fn name_operators(tokens: &mut [Token]) {
    let is_plain = |token: Option<&Token>| match token.map(|token| &token.is) {
        Some(Is::Word(word)) => word.field.is_none() && !word.value.contains('@'),
        Some(_) => false,
        None => true,
    };
    // An operator makes its neighbours operators (`not not`): once more from the end.
    for at in (0..tokens.len()).chain((0..tokens.len()).rev()) {
        let Some(Is::Word(word)) = tokens.get(at).map(|token| &token.is) else { continue };
        if word.quoted || word.field.is_some() {
            continue;
        }
        let operator = match word.value.to_ascii_lowercase().as_str() {
            "and" => Is::And,
            "or" => Is::Or,
            "not" => Is::Not,
            _ => continue,
        };
        let in_capitals = word.value.chars().all(|c| c.is_ascii_uppercase());
        let before = at.checked_sub(1).and_then(|before| tokens.get(before));
        if in_capitals || !is_plain(before) || !is_plain(tokens.get(at + 1)) {
            tokens.get_mut(at).into_iter().for_each(|token| token.is = operator.clone());
        }
    }
}

fn is_field_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// The colon ends its word, as in a subject's `Re:`.
fn is_last(rest: &mut impl Iterator<Item = (char, usize)>) -> bool {
    rest.next();
    rest.next().is_none_or(|(c, _)| c.is_whitespace())
}

/// A value as it must be written to mean the same.
pub fn written(value: &str, has_star: bool) -> String {
    let is_operator = ["and", "or", "not"].iter().any(|word| value.eq_ignore_ascii_case(word));
    let is_special = |c: char| c.is_whitespace() || matches!(c, '"' | '\\' | ':' | '(' | ')') || (c == '*' && !has_star);
    if has_star && !value.contains(is_special) || !value.is_empty() && !is_operator && !value.contains(is_special) {
        return value.to_owned();
    }
    // Stars that stand for anything stay outside of the quotes.
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    match has_star {
        true => value.split('*').map(|piece| if piece.is_empty() { String::new() } else { quote(piece) }).collect::<Vec<_>>().join("*"),
        false => quote(value),
    }
}
