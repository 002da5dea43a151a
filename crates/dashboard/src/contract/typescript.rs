//! Reads the declarations of ts-rs, and writes them with `readonly` properties in the style of the page.

use std::fmt::{self, Write as _};

/// Longest line.
const WIDTH: usize = 110;

/// The declaration of a type.
pub struct Declaration {
    name: String,
    docs: Option<Docs>,
    definition: Type,
}

enum Type {
    /// A primitive, a literal, or the name of a declared type.
    Word(String),
    Array(Box<Self>),
    Map(Box<Self>),
    Tuple(Vec<Self>),
    Object(Vec<Property>),
    Union(Vec<Self>),
}

struct Property {
    docs: Option<Docs>,
    name: String,
    optional: bool,
    value: Type,
}

/// The lines of a comment.
struct Docs(Vec<String>);

impl Declaration {
    /// Parses `type NAME = …;`.
    pub fn new(text: &str, docs: Option<&str>) -> Self {
        let mut parser = Parser { rest: text };
        parser.expect("type");
        let name = parser.word();
        parser.expect("=");
        let definition = parser.union();
        parser.expect(";");
        Self { name, docs: docs.map(Docs::new), definition }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the types that the declaration uses.
    pub fn references(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.definition.references(&mut names);
        names
    }
}

impl Type {
    fn references<'t>(&'t self, names: &mut Vec<&'t str>) {
        match self {
            Self::Word(word) if word.starts_with(char::is_uppercase) => names.push(word),
            Self::Word(_) => {}
            Self::Array(inner) | Self::Map(inner) => inner.references(names),
            Self::Tuple(types) | Self::Union(types) => types.iter().for_each(|inner| inner.references(names)),
            Self::Object(properties) => properties.iter().for_each(|property| property.value.references(names)),
        }
    }

    /// The type on one line; `None` if it contains comments.
    fn on_one_line(&self) -> Option<String> {
        let join = |types: &[Self], separator: &str| {
            Some(types.iter().map(Self::on_one_line).collect::<Option<Vec<_>>>()?.join(separator))
        };
        Some(match self {
            Self::Word(word) => word.clone(),
            Self::Array(inner) => match **inner {
                Self::Word(_) | Self::Map(_) | Self::Object(_) => format!("readonly {}[]", inner.on_one_line()?),
                Self::Array(_) | Self::Tuple(_) | Self::Union(_) => format!("readonly ({})[]", inner.on_one_line()?),
            },
            Self::Map(inner) => format!("Readonly<Record<string, {}>>", inner.on_one_line()?),
            Self::Tuple(types) => format!("readonly [{}]", join(types, ", ")?),
            Self::Union(types) => join(types, " | ")?,
            Self::Object(properties) => {
                let property = |property: &Property| {
                    let value = property.value.on_one_line()?;
                    property.docs.is_none().then(|| format!("{}{value}", property.key()))
                };
                format!("{{ {} }}", properties.iter().map(property).collect::<Option<Vec<_>>>()?.join("; "))
            }
        })
    }

    /// The type after a text of `before` characters on a line with `indent`.
    fn write(&self, out: &mut String, before: usize, indent: usize) {
        let margin = " ".repeat(indent);
        match (self.on_one_line(), self) {
            (Some(line), _) if before + line.len() < WIDTH => out.push_str(&line),
            (_, Self::Object(properties)) => {
                out.push_str("{\n");
                write_properties(properties, out, indent + 2);
                let _ = write!(out, "{margin}}}");
            }
            (_, Self::Union(types)) => {
                for inner in types {
                    let _ = write!(out, "\n{margin}  | ");
                    inner.write(out, indent + 4, indent + 4);
                }
            }
            (line, _) => out.push_str(&line.expect("only objects contain comments")),
        }
    }
}

fn write_properties(properties: &[Property], out: &mut String, indent: usize) {
    for property in properties {
        property.docs.iter().for_each(|docs| docs.write(out, indent));
        let key = format!("{}{}", " ".repeat(indent), property.key());
        let mut value = String::new();
        property.value.write(&mut value, key.len(), indent);
        let key = if value.starts_with('\n') { key.trim_end() } else { &key };
        let _ = writeln!(out, "{key}{value};");
    }
}

impl Property {
    fn key(&self) -> String {
        format!("readonly {}{} ", self.name, if self.optional { "?:" } else { ":" })
    }
}

impl Docs {
    fn new(comment: &str) -> Self {
        let inner = comment.trim().trim_start_matches("/**").trim_end_matches("*/").trim();
        Self(inner.lines().map(|line| line.trim().trim_start_matches('*').trim().to_owned()).collect())
    }

    fn write(&self, out: &mut String, indent: usize) {
        let margin = " ".repeat(indent);
        let _ = match &*self.0 {
            [line] if indent + line.len() + 7 <= WIDTH => writeln!(out, "{margin}/** {line} */"),
            lines => {
                let lines: String =
                    lines.iter().map(|line| format!("{margin} * {line}").trim_end().to_owned() + "\n").collect();
                writeln!(out, "{margin}/**\n{lines}{margin} */")
            }
        };
    }
}

impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.docs.iter().for_each(|docs| docs.write(&mut out, 0));
        if let Type::Object(properties) = &self.definition {
            let _ = writeln!(out, "export interface {} {{", self.name);
            write_properties(properties, &mut out, 2);
            out.push_str("}\n");
        } else {
            let key = format!("export type {} =", self.name);
            let mut value = String::new();
            self.definition.write(&mut value, key.len() + 2, 0);
            let space = if value.starts_with('\n') { "" } else { " " };
            let _ = writeln!(out, "{key}{space}{value};");
        }
        f.write_str(&out)
    }
}

/// The import of types that another file declares.
pub fn import(names: &[&str], file: &str) -> String {
    let line = format!("import type {{ {} }} from \"./{file}\";\n", names.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let names: String = names.iter().map(|name| format!("  {name},\n")).collect();
    format!("import type {{\n{names}}} from \"./{file}\";\n")
}

/// Parses the types that ts-rs writes.
struct Parser<'t> {
    rest: &'t str,
}

impl Parser<'_> {
    fn eat(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) {
        assert!(self.eat(token), "{token:?} is expected before {:?}", self.rest);
    }

    /// A name, or a quoted literal.
    fn word(&mut self) -> String {
        self.rest = self.rest.trim_start();
        let quoted = self.rest.strip_prefix('"').and_then(|rest| rest.find('"')).map(|end| end + 2);
        let unquoted = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        let (word, rest) = self.rest.split_at(quoted.or(unquoted).unwrap_or(self.rest.len()));
        assert!(!word.is_empty(), "a name is expected before {rest:?}");
        self.rest = rest;
        word.to_owned()
    }

    fn union(&mut self) -> Type {
        let mut types = vec![self.term()];
        while self.eat("|") {
            types.push(self.term());
        }
        if types.len() == 1 { types.remove(0) } else { Type::Union(types) }
    }

    fn term(&mut self) -> Type {
        if self.eat("{ [key in string]:") {
            let inner = self.union();
            self.expect("}");
            Type::Map(Box::new(inner))
        } else if self.eat("{") {
            self.object()
        } else if self.eat("[") {
            let mut types = vec![self.union()];
            while self.eat(",") {
                types.push(self.union());
            }
            self.expect("]");
            Type::Tuple(types)
        } else if self.eat("Array<") {
            let inner = self.union();
            self.expect(">");
            Type::Array(Box::new(inner))
        } else {
            Type::Word(self.word())
        }
    }

    fn object(&mut self) -> Type {
        let mut properties = Vec::new();
        while !self.eat("}") {
            let docs = self.comment();
            let name = self.word().trim_matches('"').to_owned();
            let optional = self.eat("?");
            self.expect(":");
            properties.push(Property { docs, name, optional, value: self.union() });
            self.eat(",");
        }
        Type::Object(properties)
    }

    fn comment(&mut self) -> Option<Docs> {
        self.rest = self.rest.trim_start();
        let end = self.rest.starts_with("/**").then(|| self.rest.find("*/")).flatten()? + 2;
        let (comment, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Docs::new(comment))
    }
}
