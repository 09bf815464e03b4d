use nasrl_tensor::Result;
use nasrl_tensor::ops::{Matmul, MatmulBackend, Operand, Sum};
use nasrl_tests::Tolerance;

use crate::case::{Agreement, Case, Setting, Work, calling};

/// `[m, n, k]`: a controller's gates for one and for nine sequences, a classifier, and squares that
/// are bound by multiplications alone.
const PRODUCTS: [[usize; 3]; 5] =
    [[1, 128, 32], [9, 128, 64], [128, 10, 64], [512, 512, 512], [1024, 1024, 1024]];

/// Primes, and sides just beside a tile.
const SMALL: [[usize; 3]; 4] = [[1, 1, 1], [3, 5, 7], [65, 33, 25], [88, 72, 104]];

/// Small products are bound by the call and by reading `b` once, large ones by multiplications.
pub(super) fn cases<B: MatmulBackend>(setting: &Setting<'_, B>) -> Result<Vec<Case<B>>> {
    use Operand::{Plain, Transposed};
    let mut cases = Vec::new();
    for extents in setting.pick(&SMALL, &PRODUCTS) {
        for operands in [[Plain, Plain], [Plain, Transposed], [Transposed, Plain]] {
            cases.push(product(setting, extents, operands)?);
        }
    }
    Ok(cases)
}

/// One product.
pub(crate) fn product<B: MatmulBackend>(
    setting: &Setting<'_, B>,
    [m, n, k]: [usize; 3],
    [a, b]: [Operand; 2],
) -> Result<Case<B>> {
    let dtype = setting.dtype;
    let geometry = Matmul { m, n, k, a, b };
    let letter = |operand| match operand {
        Operand::Plain => 'n',
        Operand::Transposed => 't',
    };
    let mut draw = setting.draw(17);
    Ok(Case {
        pass: format!("{}{}", letter(a), letter(b)),
        shape: format!("{m}x{n}x{k}"),
        work: Work {
            flops: 2 * (m * n * k) as u64,
            bytes: ((m * k + k * n + m * n) * dtype.size()) as u64,
        },
        agreement: Agreement::ExactOnIntegers(Tolerance::sum(dtype, k)),
        inputs: vec![draw.values(dtype, m * k)?, draw.values(dtype, k * n)?],
        outputs: vec![draw.zeros(dtype, m * n)?],
        call: calling::<B>(move |on, x, c| {
            on.matmul(&geometry, &x[0], &x[1], Sum::Store, &mut c[0])
        }),
    })
}
