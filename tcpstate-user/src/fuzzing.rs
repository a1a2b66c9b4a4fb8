//! Everything that reads what others chose, called with any bytes: a function for each fuzz target of `tests/fuzz`. A
//! function panics where a promise is broken, so that `cargo test` can run the kept inputs through it without a fuzzer.
mod facts;
mod kernel_text;
#[cfg(test)]
mod names;
mod recordings;
mod typed;
mod types;

pub use self::{
    facts::{decode, tracker},
    kernel_text::{kernel_text, sock_diag},
    recordings::recording,
    typed::filters,
    types::btf,
};

/// The text of a name is harmless wherever it is shown.
fn assert_harmless(text: &str) {
    assert_eq!(crate::sink::printable(text.as_bytes()), text);
}

/// What goes to an output is UTF-8, and nothing in it but the ends of its lines drives a terminal.
fn assert_harmless_lines(output: &[u8]) {
    let text = std::str::from_utf8(output).expect("an output is UTF-8");
    text.split('\n').for_each(assert_harmless);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// A target and its name.
    type Target = (&'static str, fn(&[u8]));

    const TARGETS: [Target; 7] = [
        ("btf", super::btf),
        ("decode", super::decode),
        ("filters", super::filters),
        ("kernel_text", super::kernel_text),
        ("recording", super::recording),
        ("sock_diag", super::sock_diag),
        ("tracker", super::tracker),
    ];

    #[test]
    fn every_kept_input_is_taken() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        for (name, target) in TARGETS {
            let corpus = fs::read_dir(corpora.join(name)).expect("a corpus");
            let mut inputs = 0;
            for input in corpus {
                let path = input.expect("an input").path();
                println!("{name}: {}", path.display()); // which one it was, where one fails
                target(&fs::read(&path).expect("reading an input"));
                inputs += 1;
            }
            assert!(inputs > 0, "the corpus of {name} is empty");
        }
        let corpora = fs::read_dir(corpora).expect("the corpora").count();
        assert_eq!(corpora, TARGETS.len(), "each corpus has its target here");
    }
}
