//! `fuzarr tree`.

use super::quantity::shape;
use super::visible;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};

/// A node and what is below it.
#[derive(Debug, Clone)]
pub struct Node {
    /// The last name of its path; of the root, the store.
    pub name: String,
    /// What it is.
    pub content: Content,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Content {
    /// A group and its members, in the order they are to be shown in.
    Group(Vec<Node>),
    /// A group whose members are those that its consolidated metadata names, be they there or not.
    ConsolidatedGroup(Vec<Node>),
    /// A group whose members are deeper than was asked for.
    UnlistedGroup,
    /// An array.
    Array {
        /// Lengths of its axes.
        shape: Vec<u64>,
        /// Name of its type.
        data_type: String,
    },
    /// Metadata that cannot be read, and why.
    Broken(String),
}

impl Node {
    /// A line for each node, indented by its depth.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text, &mut String::new());
        text
    }

    fn write(&self, text: &mut String, indent: &mut String) {
        let name = visible(&self.name);
        let line = match &self.content {
            Content::Group(_) => name.bold().to_string(),
            Content::ConsolidatedGroup(_) => {
                format!("{}  {}", name.bold(), "(by its consolidated metadata)".dimmed())
            }
            Content::UnlistedGroup => format!("{} …", name.bold()),
            Content::Array { shape: lengths, data_type } => {
                format!("{name}  {}", format!("{} {}", visible(data_type), shape(lengths)).dimmed())
            }
            Content::Broken(reason) => format!("{name}  {}", visible(reason).red()),
        };
        text.push_str(&line);
        text.push('\n');
        let (Content::Group(members) | Content::ConsolidatedGroup(members)) = &self.content else {
            return;
        };
        for (position, member) in members.iter().enumerate() {
            let last = position + 1 == members.len();
            let (branch, below) =
                if last { ("└── ", "    ") } else { ("├── ", "│   ") };
            text.push_str(indent);
            text.push_str(branch);
            indent.push_str(below);
            member.write(text, indent);
            indent.truncate(indent.len() - below.len());
        }
    }

    /// The same, nested under `children`.
    #[must_use]
    pub fn json(&self) -> Value {
        let name = &self.name;
        match &self.content {
            Content::Group(members) | Content::ConsolidatedGroup(members) => {
                let members: Vec<Value> = members.iter().map(Self::json).collect();
                let consolidated = matches!(self.content, Content::ConsolidatedGroup(_));
                json!({
                    "name": name,
                    "node_type": "group",
                    "consolidated": consolidated,
                    "children": members,
                })
            }
            Content::UnlistedGroup => json!({"name": name, "node_type": "group"}),
            Content::Array { shape, data_type } => {
                json!({"name": name, "node_type": "array", "shape": shape, "data_type": data_type})
            }
            Content::Broken(reason) => json!({"name": name, "node_type": null, "error": reason}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, content: Content) -> Node {
        Node { name: name.into(), content }
    }

    #[test]
    fn branches_show_what_belongs_to_what() {
        let array = Content::Array { shape: vec![1000, 2], data_type: "int16".into() };
        let inner = Content::Group(vec![node("a", array.clone()), node("b", array.clone())]);
        let tree = node(
            "x.zarr",
            Content::Group(vec![
                node("g", inner),
                node("deep", Content::UnlistedGroup),
                node("n\u{1b}", Content::Broken("no JSON".into())),
            ]),
        );
        let expected = "\
x.zarr
├── g
│   ├── a  int16 1,000 × 2
│   └── b  int16 1,000 × 2
├── deep …
└── n\\u{1b}  no JSON
";
        assert_eq!(anstream::adapter::strip_str(&tree.text()).to_string(), expected);
        assert_eq!(tree.json()["children"][0]["children"][1]["shape"], json!([1000, 2]));
        assert_eq!(tree.json()["children"][2]["error"], "no JSON");
    }
}
