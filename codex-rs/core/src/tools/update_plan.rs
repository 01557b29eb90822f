//! `update_plan`: the model's own list of what is to be done, for people to follow.

use codex_protocol::event::{ItemDetails, TodoItem};
use codex_protocol::permission::Permissions;
use codex_protocol::tool::{
    Access, BoxFuture, Fatal, Tool, ToolCall, ToolInput, ToolOutput, ToolSpec,
};
use serde::Deserialize;
use serde_json::json;

use super::{arguments, failed};

/// How many steps a plan may have.
const MOST: usize = 100;

/// The tool.
pub struct UpdatePlan;

#[derive(Deserialize)]
struct Arguments {
    plan: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    step: String,
    status: StepStatus,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum StepStatus {
    Pending,
    InProgress,
    Completed,
}

fn answer(call: &ToolCall, permissions: &Permissions) -> ToolOutput {
    let arguments: Arguments = match arguments("update_plan", &call.arguments) {
        Ok(arguments) => arguments,
        Err(answer) => return answer,
    };
    if arguments.plan.len() > MOST {
        return failed(format!("a plan may have {MOST} steps; sum some up"));
    }
    let steps = arguments.plan.into_iter();
    let items = steps.map(|s| TodoItem {
        text: s.step,
        completed: s.status == StepStatus::Completed,
    });
    let shown = permissions.items();
    shown.completed(
        shown.new_id(),
        ItemDetails::TodoList {
            items: items.collect(),
        },
    );
    ToolOutput {
        text: "the plan is shown".to_owned(),
        success: true,
    }
}

impl Tool for UpdatePlan {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "update_plan".to_owned(),
            description: "Shows the user your plan for work of several steps. Call it again as steps are done.".to_owned(),
            input: ToolInput::Json(json!({
                "type": "object",
                "properties": {
                    "plan": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "step": { "type": "string" },
                                "status": { "type": "string", "enum": ["pending", "in_progress", "completed"] }
                            },
                            "required": ["step", "status"],
                            "additionalProperties": false
                        }
                    }
                },
                "required": ["plan"],
                "additionalProperties": false
            })),
        }
    }

    fn access(&self) -> Access {
        Access::ReadOnly
    }

    fn call<'a>(
        &'a self,
        call: &'a ToolCall,
        permissions: &'a Permissions,
    ) -> BoxFuture<'a, Result<ToolOutput, Fatal>> {
        Box::pin(std::future::ready(Ok(answer(call, permissions))))
    }
}
