//! The namespace declarations in scope (Namespaces in XML 1.0 §6).

use std::sync::Arc;

use super::limits::{Limits, XmlError};

/// Declarations of all open elements, outermost first.
#[derive(Debug)]
pub(super) struct Scope {
    declared: Vec<Declaration>,
    none: Arc<str>,
}

#[derive(Debug)]
struct Declaration {
    /// Empty for the default namespace.
    prefix: Box<str>,
    ns: Arc<str>,
    /// The depth of the element that declares it, the root's being 0.
    depth: usize,
}

impl Scope {
    pub(super) fn new() -> Self {
        Scope { declared: Vec::new(), none: Arc::from("") }
    }

    /// Takes in a declaration of the element at `depth`. The tokenizer has refused an empty name for
    /// a prefix, and the reserved `xml`.
    pub(super) fn declare(&mut self, depth: usize, prefix: &str, ns: &str, limits: &Limits) -> Result<(), XmlError> {
        let own = self.declared.iter().rev().take_while(|declared| declared.depth == depth);
        let mut count = 0;
        for declared in own {
            if *declared.prefix == *prefix {
                return Err(XmlError::NotWellFormed("a namespace is declared twice on one element".into()));
            }
            count += 1;
        }
        if count >= limits.namespaces || self.declared.len() >= limits.namespaces_in_scope {
            return Err(XmlError::TooManyNamespaces);
        }
        // Namespaces in XML 1.0 §3: nothing may be bound to the namespace of declarations.
        if ns == XMLNS_NS {
            return Err(XmlError::NotWellFormed("a reserved namespace is declared".into()));
        }
        let ns = if ns.is_empty() { self.none.clone() } else { Arc::from(ns) };
        self.declared.push(Declaration { prefix: Box::from(prefix), ns, depth });
        Ok(())
    }

    /// Forgets what the element at `depth` and those inside it declared.
    pub(super) fn leave(&mut self, depth: usize) {
        while self.declared.last().is_some_and(|declared| declared.depth >= depth) {
            self.declared.pop();
        }
    }

    pub(super) fn default_ns(&self) -> &Arc<str> {
        self.find("").unwrap_or(&self.none)
    }

    pub(super) fn resolve(&self, prefix: &str) -> Result<Arc<str>, XmlError> {
        if let Some(ns) = self.find(prefix) {
            return Ok(ns.clone());
        }
        if prefix == "xml" {
            return Ok(Arc::from(super::element::XML_NS));
        }
        Err(XmlError::NotWellFormed("a namespace prefix is not declared".into()))
    }

    pub(super) fn release(&mut self) {
        self.declared.shrink_to_fit();
    }

    fn find(&self, prefix: &str) -> Option<&Arc<str>> {
        self.declared.iter().rev().find(|declared| *declared.prefix == *prefix).map(|declared| &declared.ns)
    }
}

const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";
