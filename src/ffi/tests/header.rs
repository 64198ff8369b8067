//! Reads the functions of the committed header: a parser for the small part of C that it uses.

/// One function of the header.
pub struct Function {
    pub name: String,
    pub parameters: Vec<Parameter>,
}

/// One parameter, such as `const char *` and `key`.
pub struct Parameter {
    pub kind: String,
    pub name: String,
}

/// The functions in the text of `meditopia_ffi.h`.
pub fn functions(header: &str) -> Vec<Function> {
    let (_, declarations) = header.split_once("*/").expect("a comment at the top");
    assert!(
        !declarations.contains("/*"),
        "the flat header has one comment only"
    );
    let found: Vec<Function> = declarations.split(';').filter_map(function).collect();
    assert!(found.len() >= 30, "only {} functions", found.len());
    found
}

fn function(declaration: &str) -> Option<Function> {
    let declaration = declaration.trim();
    if declaration.starts_with("typedef") {
        return None;
    }
    let (before, after) = declaration.split_once('(')?;
    let parameters = after.strip_suffix(')')?;
    Some(Function {
        name: split_name(before).1,
        parameters: parameters
            .split(',')
            .filter(|parameter| *parameter != "void")
            .map(|parameter| {
                let (kind, name) = split_name(parameter);
                Parameter { kind, name }
            })
            .collect(),
    })
}

fn split_name(declarator: &str) -> (String, String) {
    let declarator = declarator.trim();
    let start = declarator
        .rfind(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .map_or(0, |at| at + 1);
    let (kind, name) = declarator.split_at(start);
    (kind.trim().to_owned(), name.to_owned())
}
