use nasrl_tensor::Result;
use nasrl_tensor::ops::{ChannelRange, ConcatBackend, CopyChannels, Sum};

use crate::case::{Agreement, Case, Setting, Work, calling};

/// Rows of a map and the channels of its parts.
fn inputs<B>(setting: &Setting<'_, B>) -> Vec<(usize, Vec<usize>)>
where
    B: nasrl_tensor::Memory,
{
    let images = setting.images(2);
    setting.pick(
        &[(35, vec![1, 7, 5]), (48, vec![8, 16])],
        &[(images * 16 * 16, vec![16, 16, 32]), (images * 32 * 32, vec![24, 36, 48])],
    )
}

/// Bound by memory: one read and one write of every element.
pub(super) fn cases<B: ConcatBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    let dtype = setting.dtype;
    let mut cases = Vec::new();
    for (rows, parts) in inputs(setting) {
        let width: usize = parts.iter().sum();
        let firsts = parts.iter().scan(0, |next, &part| {
            *next += part;
            Some(*next - part)
        });
        let within: Vec<[ChannelRange; 2]> = firsts
            .zip(&parts)
            .map(|(first, &part)| {
                [ChannelRange { first: 0, width: part }, ChannelRange { first, width }]
            })
            .collect();
        let shape = format!("{rows}x{parts:?}");
        let work = Work::bytes(2 * rows * width * dtype.size());
        let mut draw = setting.draw(10);
        let each = within.clone();
        cases.push(Case {
            pass: "fprop".to_owned(),
            shape: shape.clone(),
            work,
            agreement: Agreement::Exact,
            inputs: parts
                .iter()
                .map(|part| draw.values(dtype, rows * part))
                .collect::<Result<_>>()?,
            outputs: vec![draw.zeros(dtype, rows * width)?],
            call: calling::<B>(move |on, x, y| {
                x.iter().zip(&each).try_for_each(|(x, &[from, to])| {
                    let geometry = CopyChannels { rows, channels: from.width, from, to };
                    on.copy_channels(&geometry, x, Sum::Store, &mut y[0])
                })
            }),
        });
        cases.push(Case {
            pass: "backward".to_owned(),
            shape,
            work,
            agreement: Agreement::Exact,
            inputs: vec![draw.values(dtype, rows * width)?],
            outputs: parts
                .iter()
                .map(|part| draw.zeros(dtype, rows * part))
                .collect::<Result<_>>()?,
            call: calling::<B>(move |on, dy, dx| {
                dx.iter_mut().zip(&within).try_for_each(|(dx, &[to, from])| {
                    let geometry = CopyChannels { rows, channels: to.width, from, to };
                    on.copy_channels(&geometry, &dy[0], Sum::Store, dx)
                })
            }),
        });
    }
    Ok(cases)
}
