//! Rewrites preprocessed CUDA C++ into host C++, without parsing types:
//! * `extern __shared__ T name[];` becomes a pointer to the block's dynamic shared memory;
//! * `__shared__` becomes `thread_local`: one copy a worker, shared by the fibers of its block;
//! * behind the body of a `__global__` function comes a descriptor of it;
//! * `__launch_bounds__(n, ..)` is removed, and `n` goes into the descriptor.

use super::lexer::{Kind, Token, lex};
use std::fmt::Write;

/// The most threads of a block without launch bounds.
const MAX_THREADS: &str = "1024";
/// Attributes that mean nothing here.
const DROPPED: [&str; 3] = ["__cluster_dims__", "__maxnreg__", "__block_size__"];

/// Rewrites a source. Of each name expression, of a template's instance say, the source also gets
/// a descriptor, and a function `__emu_name_<i>` that returns its address.
pub(super) fn rewrite(source: &str, expressions: &[String]) -> String {
    let tokens = lex(source);
    let mut rewriter = Rewriter { tokens: &tokens, ..Rewriter::default() };
    rewriter.out.reserve(source.len() + 4096);
    let mut at = 0;
    while at < tokens.len() {
        at = rewriter.step(at);
    }
    let mut out = rewriter.out;
    for (i, expression) in expressions.iter().enumerate() {
        let name = expression.trim_start_matches('&');
        let descriptor = descriptor(&format!("__emu_instance_{i}"), name, MAX_THREADS);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n{descriptor}\nextern \"C\" __attribute__((used)) const void* __emu_name_{i}() {{ \
             return (const void*)&{name}; }}\n"
        );
    }
    out
}

/// A descriptor, `__emu::Desc` in the shim, placed where the kernel's name is in scope.
fn descriptor(variable: &str, name: &str, max_threads: &str) -> String {
    format!(
        " static ::__emu::Desc __attribute__((section(\"emu_desc\"), used)) {variable} = {{ \
         (const void*)&{name}, (const void*)&::__emu::Kern<&{name}>::thunk, \
         ::__emu::Kern<&{name}>::n, ({max_threads}), ::__emu::Kern<&{name}>::sizes, \
         ::__emu::Kern<&{name}>::aligns, \"{name}\" }};"
    )
}

#[derive(Default)]
struct Rewriter<'a> {
    tokens: &'a [Token<'a>],
    out: String,
    /// Open braces.
    depth: usize,
    /// Kernels whose bodies are open: the depth outside the body, and the descriptor.
    open: Vec<(usize, String)>,
    /// A `template` whose declaration has not ended.
    in_template: bool,
    kernels: usize,
}

impl Rewriter<'_> {
    /// Rewrites what starts at a token; gives the token to go on with.
    fn step(&mut self, at: usize) -> usize {
        let text = self.tokens[at].text;
        match text {
            "extern" => {
                if let Some(next) = self.dynamic_shared(at) {
                    return next;
                }
                self.out += text;
            }
            "__shared__" => self.out += "thread_local",
            "__global__" => return self.kernel(at),
            "template" => {
                self.in_template = true;
                self.out += text;
            }
            ";" => {
                self.in_template = false;
                self.out += text;
            }
            "{" => {
                self.depth += 1;
                self.in_template = false;
                self.out += text;
            }
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.out += text;
                if let Some((_, descriptor)) = self.open.pop_if(|(depth, _)| *depth == self.depth) {
                    self.out += &descriptor;
                }
            }
            _ => self.out += text,
        }
        at + 1
    }

    /// `extern [attributes] __shared__ [attributes] T name[];`: gives the position of the
    /// semicolon, or none if this is another declaration.
    fn dynamic_shared(&mut self, start: usize) -> Option<usize> {
        let tokens = self.tokens;
        let length = tokens[start..].iter().position(|t| matches!(t.text, ";" | "{"))?;
        let end = start + length;
        if tokens[end].text == "{" || !tokens[start..end].iter().any(|t| t.text == "__shared__") {
            return None;
        }
        let mut declared: Vec<Token<'_>> = Vec::new();
        let mut at = start + 1;
        while at < end && tokens[at].text != "[" {
            match tokens[at].text {
                "__shared__" => at += 1,
                "__attribute__" | "alignas" => at = self.behind_brackets(at + 1),
                _ => {
                    declared.push(tokens[at]);
                    at += 1;
                }
            }
        }
        let name = declared.iter().rposition(|t| t.kind == Kind::Word)?;
        let element = join(&declared[..name]);
        let (element, name) = (element.trim(), declared[name].text);
        let _ = write!(self.out, "{element}* {name} = ({element}*)__emu_dyn_smem()");
        Some(end)
    }

    /// A kernel's head, up to the end of its parameters.
    fn kernel(&mut self, start: usize) -> usize {
        let tokens = self.tokens;
        self.out += "__attribute__((noinline, used, visibility(\"default\")))";
        let (mut name, mut bounds) = ("", MAX_THREADS.to_string());
        let mut at = start + 1;
        while at < tokens.len() && !matches!(tokens[at].text, "(" | ";" | "{") {
            let text = tokens[at].text;
            let next = match text {
                "__launch_bounds__" => {
                    let end = self.behind_brackets(at + 1);
                    let open = self.skip_space(at + 1);
                    bounds = first_argument(&tokens[open + 1..end - 1]);
                    end
                }
                _ if DROPPED.contains(&text) => self.behind_brackets(at + 1),
                "__attribute__" | "alignas" => {
                    let end = self.behind_brackets(at + 1);
                    self.out += &join(&tokens[at..end]);
                    end
                }
                _ => {
                    if tokens[at].kind == Kind::Word {
                        name = text;
                    }
                    self.out += text;
                    at + 1
                }
            };
            at = next;
        }
        let parameters = self.behind_brackets(at);
        self.out += &join(&tokens[at..parameters]);
        let body = self.skip_space(parameters);
        let is_definition = tokens.get(body).is_some_and(|t| t.text == "{");
        if is_definition && !self.in_template && !name.is_empty() {
            self.kernels += 1;
            let variable = format!("__emu_kernel_{}", self.kernels);
            self.open.push((self.depth, descriptor(&variable, name, &bounds)));
        }
        self.in_template = false;
        parameters
    }

    fn skip_space(&self, mut at: usize) -> usize {
        while self.tokens.get(at).is_some_and(|t| t.kind == Kind::Space) {
            at += 1;
        }
        at
    }

    /// The position behind the bracket that closes the first one from `at` on.
    fn behind_brackets(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for (i, token) in self.tokens.iter().enumerate().skip(self.skip_space(at)) {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return i + 1;
            }
        }
        self.tokens.len()
    }
}

/// The text up to the first comma outside brackets.
fn first_argument(tokens: &[Token<'_>]) -> String {
    let mut depth = 0i32;
    let comma = tokens.iter().position(|token| {
        match token.text {
            "(" | "{" => depth += 1,
            ")" | "}" => depth -= 1,
            _ => {}
        }
        token.text == "," && depth == 0
    });
    join(&tokens[..comma.unwrap_or(tokens.len())])
}

fn join(tokens: &[Token<'_>]) -> String {
    tokens.iter().map(|token| token.text).collect()
}

#[cfg(test)]
mod tests {
    use super::rewrite;

    #[test]
    fn shared_memory_is_found() {
        let out = rewrite("extern __shared__ __attribute__((aligned(16))) float tile[];", &[]);
        assert_eq!(out, "float* tile = (float*)__emu_dyn_smem();");
        assert_eq!(rewrite("__shared__ int x[8];", &[]), "thread_local int x[8];");
        assert_eq!(rewrite("extern int x; \"__shared__\"", &[]), "extern int x; \"__shared__\"");
    }

    #[test]
    fn a_kernel_gets_its_descriptor_behind_its_body() {
        let source = "extern \"C\" __global__ void __launch_bounds__(64 * (2), 3) k(int n) { if (n) {} } int y;";
        let out = rewrite(source, &[]);
        assert!(out.contains("void  k(int n) { if (n) {} } static ::__emu::Desc"), "{out}");
        assert!(out.contains("(64 * (2))"), "{out}");
        assert!(out.ends_with("\"k\" }; int y;"), "{out}");
    }

    #[test]
    fn declarations_and_templates_get_none() {
        let source = "__global__ void k(int); template <int N> __global__ void t() { }";
        assert!(!rewrite(source, &[]).contains("Desc"));
        assert!(rewrite(source, &["&t<3>".to_string()]).contains("Kern<&t<3>>"));
    }
}
