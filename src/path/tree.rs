//! Reads the words of a question as what is tied by `and`, `or`, `not` and parentheses.

use super::lex::{self, Is, Token, Word};
use super::what::NotUnderstood;

/// Parentheses in parentheses: more than anybody types.
const DEEPEST: usize = 32;

/// What is asked for, and how it is tied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Word(usize, Word),
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
}

/// Reads a question.
///
/// # Errors
/// An operator that has nothing to tie, a parenthesis without its other half: with the column.
pub fn read(text: &str) -> Result<Node, NotUnderstood> {
    let tokens = lex::tokens(text)?;
    let mut reader = Reader { tokens: tokens.into_iter().peekable(), after: text.chars().count() + 1, depth: 0 };
    if reader.tokens.peek().is_none() {
        return Ok(Node::All(Vec::new()));
    }
    let node = reader.any()?;
    match reader.tokens.next() {
        None => Ok(node),
        Some(token) => Err(wrong(token.column, "this parenthesis closes nothing (quote it if it is part of a subject)")),
    }
}

struct Reader {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    /// The column after the last.
    after: usize,
    depth: usize,
}

fn wrong(column: usize, message: &str) -> NotUnderstood {
    NotUnderstood { column, message: message.to_owned() }
}

impl Reader {
    fn next_is(&mut self, is: &Is) -> bool {
        self.tokens.next_if(|token| token.is == *is).is_some()
    }

    fn any(&mut self) -> Result<Node, NotUnderstood> {
        let mut nodes = vec![self.all()?];
        while self.next_is(&Is::Or) {
            nodes.push(self.all()?);
        }
        Ok(single(nodes, Node::Any))
    }

    fn all(&mut self) -> Result<Node, NotUnderstood> {
        let mut nodes = vec![self.one()?];
        loop {
            let tied = self.next_is(&Is::And);
            match self.tokens.peek().map(|token| &token.is) {
                Some(Is::Word(_) | Is::Not | Is::Open) => nodes.push(self.one()?),
                _ if tied => return Err(self.missing()),
                _ => return Ok(single(nodes, Node::All)),
            }
        }
    }

    fn one(&mut self) -> Result<Node, NotUnderstood> {
        let Some(token) = self.tokens.next_if(|token| matches!(token.is, Is::Word(_) | Is::Not | Is::Open)) else {
            return Err(self.missing());
        };
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(wrong(token.column, "this is nested too deeply"));
        }
        let node = match token.is {
            Is::Word(word) => Node::Word(token.column, word),
            Is::Not => Node::Not(Box::new(self.one()?)),
            _ => {
                let node = self.any()?;
                if !self.next_is(&Is::Close) {
                    return Err(wrong(token.column, "this parenthesis is never closed (quote it if it is part of a subject)"));
                }
                node
            }
        };
        self.depth -= 1;
        Ok(node)
    }

    fn missing(&mut self) -> NotUnderstood {
        let column = self.tokens.peek().map_or(self.after, |token| token.column);
        wrong(column, "something to look for is missing here (quote \"and\", \"or\", \"not\" and parentheses where they are words)")
    }
}

fn single(mut nodes: Vec<Node>, tie: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        Some(last) => {
            nodes.push(last);
            tie(nodes)
        }
        None => Node::All(Vec::new()),
    }
}

impl Node {
    /// The question as it must be written to mean the same, each word by `word`.
    pub fn written(&self, word: &dyn Fn(&Word) -> String) -> String {
        let each = |nodes: &[Self], by: &str| nodes.iter().map(|node| node.part(word)).collect::<Vec<_>>().join(by);
        match self {
            Self::Word(_, it) => word(it),
            Self::All(nodes) => each(nodes, " AND "),
            Self::Any(nodes) => each(nodes, " OR "),
            Self::Not(node) => format!("NOT {}", node.part(word)),
        }
    }

    fn part(&self, word: &dyn Fn(&Word) -> String) -> String {
        match self {
            Self::Word(..) | Self::Not(_) => self.written(word),
            Self::All(_) | Self::Any(_) => format!("({})", self.written(word)),
        }
    }
}
