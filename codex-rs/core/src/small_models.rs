//! How a model is spoken to where its settings do not say: small ones get lost in long
//! instructions, in many tools and in optional parameters.

/// How much a model is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// All of the instructions.
    Full,
    /// Their short form.
    Short,
    /// Nothing.
    Nothing,
}

/// How a model is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    /// The tools it is offered; `None` is all.
    pub tools: Option<&'static [&'static str]>,
    /// How much it is told.
    pub told: Told,
    /// Whether tools are described by their required parameters alone.
    pub compact: bool,
}

const LARGE: Handling = Handling {
    tools: None,
    told: Told::Full,
    compact: false,
};

const SMALL: Handling = Handling {
    tools: Some(&["shell", "read_file", "edit_file", "write_file"]),
    told: Told::Short,
    compact: true,
};

/// Models that only pick a tool: measured with Needle, which is right with one tool of required
/// parameters and no instructions, and wrong with anything more.
const TOOL_PICKERS: &[&str] = &["needle"];

const TOOL_PICKER: Handling = Handling {
    tools: Some(&["shell"]),
    told: Told::Nothing,
    compact: true,
};

/// Below how many parameters a model counts as small, in millions. A rule of thumb, not a
/// measurement: the smallest sizes of the families that are offered for agents begin here.
const SMALL_BELOW: f64 = 4_000.0;

/// How the model of this name is spoken to. Names of local models carry their size: `qwen3:1.7b`,
/// `Llama-3.2-1B-Instruct`, `smollm2-135m`. One that carries none counts as large.
#[must_use]
pub fn of_model(name: &str) -> Handling {
    let name = name
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if TOOL_PICKERS.iter().any(|family| name.starts_with(family)) {
        return TOOL_PICKER;
    }
    let sizes = name.split(['-', ':', '_', ' ']).filter_map(millions);
    match sizes.reduce(f64::max) {
        Some(size) if size < SMALL_BELOW => SMALL,
        _ => LARGE,
    }
}

/// The millions of parameters that a part of a name tells: `135m`, `1.7b`.
fn millions(part: &str) -> Option<f64> {
    let (number, unit) = part.split_at_checked(part.len().checked_sub(1)?)?;
    let scale = match unit {
        "b" => 1_000.0,
        "m" => 1.0,
        _ => return None,
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    digits
        .then(|| number.parse::<f64>().ok())?
        .map(|n| n * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_in_the_name_tells_small_models_from_large_ones() {
        for small in [
            "qwen3:1.7b",
            "Llama-3.2-1B-Instruct",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "qwen2.5-coder:0.5b-instruct-q4_K_M",
        ] {
            assert_eq!(of_model(small), SMALL, "{small}");
        }
        for large in [
            "gpt-5",
            "gpt-4o-mini",
            "claude-sonnet-4-5",
            "qwen3-30b-a3b",
            "gpt-oss:20b",
            "llama3.1:8b",
            "mixtral-8x7b",
            "model-b",
            "model-.b",
            "",
        ] {
            assert_eq!(of_model(large), LARGE, "{large}");
        }
        assert_eq!(of_model("needle3"), TOOL_PICKER);
    }
}
