//! A graph as a drawing for the terminal: a line for each layer, with rails beside it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Graph, NodeId, Op};

/// Nodes that are drawn as one: consecutive ones whose names have the same beginning, of which the
/// last alone is read by others.
struct Group {
    name: String,
    first: usize,
    last: usize,
    /// The groups that it reads, ascending.
    sources: Vec<usize>,
}

/// What runs along a rail: the result of a group, up to the group that reads it last.
type Rail = Option<usize>;

impl Graph {
    /// A drawing: a line for each layer, with its operations, shape, parameters and FLOPs. On the
    /// left every result is a rail that runs down from its layer (`●`) to those that read it. Where
    /// it is read it shows as `├`, `┼` or `┤` if it goes on, else as `╰`, `┴` or `╯`, unless the
    /// layer takes over its rail; `│` is not read.
    ///
    /// ```text
    ///        layer   operations                          shape  parameters     FLOPs
    /// ●      input                                     32x32x3
    /// ●      layer1  conv 3x3 24 + batch norm + relu  32x32x24         696   1327104
    /// ├─●    layer2  conv 3x5 36 + batch norm + relu  32x32x36       13032  26542080
    /// ●─╯    layer3  conv 7x1 48 + batch norm + relu  32x32x48       20256  41287680
    /// ```
    pub fn sketch(&self) -> String {
        let groups = self.groups();
        let mut rails: Vec<Rail> = Vec::new();
        let drawn: Vec<String> = (0..groups.len()).map(|g| draw(&groups, g, &mut rails)).collect();
        let rows: Vec<[String; 6]> = groups
            .iter()
            .zip(drawn)
            .map(|(group, rails)| {
                let ids = || self.ids().skip(group.first).take(group.last + 1 - group.first);
                let words = ids().map(|id| self.node(id).op).filter(is_said);
                let words: Vec<String> = words.map(|op| op.to_string()).collect();
                let words = match self.nodes()[group.last].op {
                    Op::Concat => "concat".to_owned(),
                    _ => words.join(" + "),
                };
                let sum = |count: fn(&Graph, NodeId) -> u64| -> String {
                    let sum: u64 = ids().fold(0, |sum, id| sum.saturating_add(count(self, id)));
                    if sum == 0 { String::new() } else { sum.to_string() }
                };
                let shape = self.nodes()[group.last].shape.to_string();
                let (parameters, flops) = (sum(Graph::node_parameters), sum(Graph::node_flops));
                [rails, group.name.clone(), words, shape, parameters, flops]
            })
            .collect();
        let header = ["", "layer", "operations", "shape", "parameters", "FLOPs"].map(str::to_owned);
        table(&[vec![header], rows].concat())
    }

    fn groups(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut of = Vec::new();
        for (index, node) in self.nodes().iter().enumerate() {
            let name = node.name.rsplit_once('.').map_or(node.name.as_str(), |(layer, _)| layer);
            match groups.last_mut() {
                Some(group) if group.name == name => group.last = index,
                _ => groups.push(Group {
                    name: name.to_owned(),
                    first: index,
                    last: index,
                    sources: Vec::new(),
                }),
            }
            of.push(groups.len() - 1);
        }
        let mut sources = vec![BTreeSet::new(); groups.len()];
        for (index, node) in self.nodes().iter().enumerate() {
            let others = node.inputs.iter().map(|input| of[input.index()]);
            sources[of[index]].extend(others.filter(|&source| source != of[index]));
        }
        for (group, sources) in groups.iter_mut().zip(sources) {
            group.sources = sources.into_iter().collect();
        }
        groups
    }
}

/// Whether the drawing leaves an operation to be said in words.
fn is_said(op: &Op) -> bool {
    !matches!(op, Op::Input | Op::Concat | Op::ZeroPad(_))
}

/// The rails beside a group, which then hold its result in place of those that it was the last to
/// read.
fn draw(groups: &[Group], current: usize, rails: &mut Vec<Rail>) -> String {
    let sources = &groups[current].sources;
    let last_reader = |result: usize| {
        let readers =
            groups.iter().enumerate().filter(|(_, group)| group.sources.contains(&result));
        readers.map(|(reader, _)| reader).max()
    };
    let ends = |result: usize| last_reader(result).is_none_or(|reader| reader <= current);
    let read: Vec<usize> = rails
        .iter()
        .enumerate()
        .filter(|(_, rail)| rail.is_some_and(|result| sources.contains(&result)))
        .map(|(column, _)| column)
        .collect();
    let free = |rail: &Rail| rail.is_none();
    let ending = read.iter().copied().find(|&column| rails[column].is_some_and(ends));
    let own = ending.or_else(|| rails.iter().position(free)).unwrap_or_else(|| {
        rails.push(None);
        rails.len() - 1
    });
    let span = read.iter().fold((own, own), |(left, right), &c| (left.min(c), right.max(c)));
    let mut text = String::new();
    for (column, rail) in rails.iter().enumerate() {
        let within = span.0 < column && column < span.1;
        text.push(match *rail {
            _ if column == own => '●',
            Some(result) if read.contains(&column) => match (ends(result), within, column < own) {
                (true, true, _) => '┴',
                (false, true, _) => '┼',
                (true, false, true) => '╰',
                (true, false, false) => '╯',
                (false, false, true) => '├',
                (false, false, false) => '┤',
            },
            Some(_) => '│',
            None if within => '─',
            None => ' ',
        });
        text.push(if span.0 <= column && column < span.1 { '─' } else { ' ' });
    }
    for rail in rails.iter_mut() {
        *rail = rail.filter(|&result| !ends(result));
    }
    rails[own] = Some(current);
    while rails.last().is_some_and(Option::is_none) {
        rails.pop();
    }
    text.trim_end().to_owned()
}

/// Rows in columns: the first three to the left, the others to the right.
fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for [rails, layer, words, shape, parameters, flops] in rows {
        let line = format!(
            "{rails:a$}  {layer:b$}  {words:c$}  {shape:>d$}  {parameters:>e$}  {flops:>f$}"
        );
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}
