//! Cursor over tokens.

use super::lex::Token;

pub struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(tokens: &'a [Token]) -> Self {
        Self { tokens, at: 0 }
    }

    pub fn rest(&self) -> &'a [Token] {
        &self.tokens[self.at..]
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.tokens.len()
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    /// The server's syntax error at the next token.
    pub fn error(&self) -> String {
        match self.peek() {
            None => "syntax error at end of input".into(),
            Some(
                Token::Word(near)
                | Token::Symbol(near)
                | Token::Dollar(near)
                | Token::Parameter(near),
            ) => format!("syntax error at or near \"{near}\""),
            Some(Token::Quoted { exact: near, .. }) => {
                format!("syntax error at or near \"\"{near}\"\"")
            }
            Some(Token::Text(_)) => "syntax error at or near a string".into(),
        }
    }

    pub fn sees(&self, keyword: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
    }

    /// Consumes all of these keywords or none.
    pub fn eat(&mut self, keywords: &str) -> bool {
        let mut ahead = self.rest().iter();
        let count = keywords.split(' ').count();
        let all = keywords.split(' ').all(|keyword| {
            matches!(ahead.next(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword))
        });
        self.at += if all { count } else { 0 };
        all
    }

    pub fn expect(&mut self, keywords: &str) -> Result<(), String> {
        if self.eat(keywords) {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    pub fn symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(found)) if found == symbol);
        self.at += usize::from(found);
        found
    }

    pub fn end(&self) -> Result<(), String> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(self.error())
        }
    }

    /// The name of a group, a role or an object, folded as the session's setting demands.
    pub fn name(&mut self) -> Result<String, String> {
        let folded = match self.peek() {
            Some(Token::Quoted { folded, .. }) => Some(folded.clone()),
            _ => None,
        };
        let exact = self.user()?;
        Ok(folded.unwrap_or(exact))
    }

    /// The name of a user. Quotes preserve its case in every configuration (CREATE USER, usage
    /// notes).
    ///
    /// The limit is 127 bytes; PostgreSQL's is 63.
    pub fn user(&mut self) -> Result<String, String> {
        let name = match self.peek() {
            Some(Token::Word(word)) => word.to_lowercase(),
            Some(Token::Quoted { exact, .. }) => exact.clone(),
            _ => return Err(self.error()),
        };
        if name.len() > 127 {
            return Err(format!("identifier \"{name}\" is longer than 127 bytes"));
        }
        assert!(
            name.len() <= 63,
            "this stand-in holds no name of more than 63 bytes: {name:?}"
        );
        self.at += 1;
        Ok(name)
    }

    pub fn text(&mut self) -> Result<&'a str, String> {
        match self.peek() {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.error()),
        }
    }

    pub fn number(&mut self) -> Result<i64, String> {
        let parsed = match self.peek() {
            Some(Token::Word(word)) => word.parse().ok(),
            _ => None,
        };
        let number = parsed.ok_or_else(|| self.error())?;
        self.at += 1;
        Ok(number)
    }

    /// A comma-separated list.
    pub fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let mut all = vec![one(self)?];
        while self.symbol(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// The tokens before one of these keywords outside parentheses.
    pub fn until(&mut self, keywords: &[&str]) -> &'a [Token] {
        let (start, mut depth) = (self.at, 0);
        while let Some(token) = self.peek() {
            match token {
                Token::Symbol(open) if open == "(" => depth += 1,
                Token::Symbol(close) if close == ")" => depth -= 1,
                Token::Word(word)
                    if depth == 0 && keywords.iter().any(|k| word.eq_ignore_ascii_case(k)) =>
                {
                    break;
                }
                _ => {}
            }
            self.at += 1;
        }
        &self.tokens[start..self.at]
    }
}
