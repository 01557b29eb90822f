//! What a model of a name is given and told: tools, instructions, a window.

use std::path::Path;
use std::sync::Arc;

use codex_core::command::Workbench;
use codex_core::small_models::{self, Told};
use codex_core::{image, instructions, tools, window};
use codex_protocol::policy::Policy;
use codex_protocol::tool::Tool;

use crate::config::{Instructions, ToolSchema};
use crate::setup::Base;

/// What a model is given.
pub(crate) struct Equipped {
    /// The tools.
    pub(crate) tools: Vec<Box<dyn Tool>>,
    /// How much it is told.
    pub(crate) told: Instructions,
    /// Whether tools are described by their required parameters alone.
    pub(crate) compact_schemas: bool,
    /// Tokens that its window holds.
    pub(crate) context_window: u64,
}

impl Equipped {
    /// For the model of this name, working in this place.
    pub(crate) fn new(
        base: &Base,
        workbench: &Arc<Workbench>,
        workspace: &Path,
        model_name: &str,
    ) -> Self {
        let settings = base.loaded.config.models.get(model_name);
        let context_window = settings
            .and_then(|s| s.context_window)
            .or(base.loaded.config.context_window)
            .unwrap_or_else(|| window::of_model(model_name));
        let handling = small_models::of_model(model_name);
        let told = settings
            .and_then(|s| s.instructions)
            .unwrap_or(match handling.told {
                Told::Full => Instructions::Full,
                Told::Short => Instructions::Short,
                Told::Nothing => Instructions::None,
            });
        let mut offered = tools::built_in(workbench, workspace);
        // A small model that does with few tools gets this one only if its settings say so.
        let takes_images = settings
            .and_then(|s| s.images)
            .unwrap_or_else(|| handling.tools.is_none() && image::taken_by(model_name));
        let names = settings.and_then(|s| s.tools.as_ref());
        match (names, handling.tools) {
            (Some(names), _) => offered.retain(|tool| names.contains(&tool.spec().name)),
            (None, Some(few)) => offered.retain(|tool| few.contains(&tool.spec().name.as_str())),
            (None, None) => {}
        }
        if takes_images && names.is_none_or(|names| names.iter().any(|n| n == "view_image")) {
            offered.push(Box::new(tools::ViewImage::new(workspace.to_owned())));
        }
        Self {
            tools: offered,
            told,
            compact_schemas: settings
                .and_then(|s| s.schema)
                .map_or(handling.compact, |s| s == ToolSchema::Compact),
            context_window,
        }
    }

    /// What it is told about its work.
    pub(crate) fn instructions(&self, policy: &Policy) -> String {
        match self.told {
            Instructions::Full => instructions::full(policy),
            Instructions::Short => instructions::short(policy),
            Instructions::None => String::new(),
        }
    }
}
