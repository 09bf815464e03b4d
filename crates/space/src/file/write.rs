//! A space as canonical TOML.

use crate::network::{Block, Network, Setting, Skips};
use crate::{Decision, Space, Value};

/// All keys, in their order, with defaults spelt out. What is alike in all layers stands under
/// `[layers]`, what differs under `[per_layer]`.
pub(crate) fn write(space: &Space) -> String {
    let mut text = format!("name = {}\n", string(space.name()));
    match space.network() {
        Some(network) => write_network(&mut text, network),
        None => space.decisions().iter().for_each(|decision| write_decision(&mut text, decision)),
    }
    text
}

fn write_network(text: &mut String, network: &Network) {
    if let Some(stem) = &network.stem {
        *text += "\n[stem]\n";
        write_block(text, stem);
    }
    let skips = match network.skips {
        Skips::Off => "\"off\"",
        Skips::On => "\"on\"",
        Skips::Decided => "[\"off\", \"on\"]",
    };
    *text += &format!(
        "\n[layers]\ncount = {}\nmin_count = {}\nskips = {skips}\n",
        network.layers.len(),
        network.least
    );
    let mut per_layer = String::new();
    let keys = network.layers.iter().flat_map(|layer| layer.settings.keys());
    for &key in keys.collect::<std::collections::BTreeSet<_>>() {
        let settings: Vec<_> = network.layers.iter().map(|layer| &layer.settings[&key]).collect();
        if settings.windows(2).all(|pair| pair[0] == pair[1]) {
            *text += &format!("{} = {}\n", key.name(), setting(settings[0]));
        } else {
            let settings: Vec<_> = settings.into_iter().map(setting).collect();
            per_layer += &format!("{} = [{}]\n", key.name(), settings.join(", "));
        }
    }
    if !per_layer.is_empty() {
        *text += &format!("\n[per_layer]\n{per_layer}");
    }
    *text += "\n[head]\n";
    write_block(text, &network.head);
}

fn write_block(text: &mut String, block: &Block) {
    for (key, value) in &block.settings {
        *text += &format!("{} = {}\n", key.name(), setting(value));
    }
}

fn write_decision(text: &mut String, decision: &Decision) {
    *text += &format!(
        "\n[[decision]]\nname = {}\nkind = {}\nvalues = {}\n",
        string(decision.name()),
        string(decision.kind()),
        list(decision.values())
    );
}

fn setting(setting: &Setting) -> String {
    match setting {
        Setting::Fixed(value) => literal(value),
        Setting::Choice(values) => list(values),
    }
}

fn list(values: &[Value]) -> String {
    format!("[{}]", values.iter().map(literal).collect::<Vec<_>>().join(", "))
}

fn literal(value: &Value) -> String {
    match value {
        Value::Word(word) => string(word),
        number => number.to_string(),
    }
}

fn string(text: &str) -> String {
    toml::Value::from(text).to_string()
}
