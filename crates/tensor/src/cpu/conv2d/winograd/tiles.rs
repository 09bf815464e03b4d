use super::transform::{POINTS, TILE, input, output, output_gradient};
use super::words::Words;
use crate::cpu::kernel::Output;
use crate::cpu::simd::{Arithmetic, Simd};
use crate::ops::Padding;

/// A map in tiles of 4x4 pixels, the last of which may reach past its end, and the rows of tiles
/// of several maps in bands, each of which is transformed at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// Height and width of the map.
    map: [usize; 2],
    /// Rows of tiles of a map.
    pub(super) rows: usize,
    /// Tiles of a row.
    pub(super) columns: usize,
    /// Rows of tiles of a band.
    band: usize,
}

/// Matrices of words, one for each of the 36 points: rows are tiles or filters, columns are channels
/// in whole vectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planes {
    /// Words from one row to the next.
    pub(super) pitch: usize,
    /// Words from one matrix to the next.
    pub(super) step: usize,
}

/// Matrices of a transform.
pub(super) const PLANES: usize = POINTS * POINTS;

/// Tiles that a vertical transform is shared by.
const SHARED: usize = 4;

/// Words that keep the 36 matrices from falling into the same sets of a cache.
const APART: usize = 16;

impl Tiles {
    /// The tiles of a map, in bands of about `wanted` tiles.
    pub(super) fn new(map: [usize; 2], wanted: usize) -> Self {
        let [rows, columns] = map.map(|side| side.div_ceil(TILE));
        Tiles { map, rows, columns, band: wanted.div_ceil(columns) }
    }

    /// Tiles of a whole band.
    pub(super) fn in_band(&self) -> usize {
        self.band * self.columns
    }

    /// The bands of some maps, as ranges of rows of tiles counted through all maps.
    #[inline(always)]
    pub(super) fn bands(&self, maps: usize) -> Bands {
        Bands { next: 0, rows: maps * self.rows, band: self.band }
    }

    /// The zeros around a map that its tiles reach over.
    pub(super) fn beyond(&self) -> Padding {
        let [bottom, right] = [self.rows * TILE - self.map[0], self.columns * TILE - self.map[1]];
        Padding { bottom, right, ..Padding::default() }
    }

    /// The zeros around an image that is filtered with `padding` to this map.
    pub(super) fn around(&self, padding: Padding) -> Padding {
        let Padding { bottom, right, .. } = self.beyond();
        Padding { bottom: padding.bottom + bottom, right: padding.right + right, ..padding }
    }

    /// `B^T d B` of a row of tiles, whose first row of pixels is at `image`.
    ///
    /// # Safety
    /// The six rows of pixels, `pitch` words each, may be read by whole vectors, and `to` has a row
    /// for each tile, or for the tiles that share words.
    #[inline(always)]
    pub(super) unsafe fn input_row<M: Arithmetic, W: Words>(
        &self,
        (image, pitch): (*const f32, usize),
        channels: usize,
        (to, planes): (*mut f32, Planes),
    ) {
        let lanes = M::S::LANES;
        // SAFETY: pixels of the tiles and their two neighbours, in vectors of whole rows; the caller
        // has the instruction set.
        unsafe {
            let zero = M::S::splat(0.0);
            let mut vertical = [[zero; TILE * SHARED + 2]; POINTS];
            let mut first = 0;
            while first < self.columns {
                let tiles = SHARED.min(self.columns - first);
                let mut channel = 0;
                while channel < channels {
                    let mut pixel = image.add(TILE * first * channels + channel);
                    for column in 0..TILE * tiles + 2 {
                        let mut d = [zero; POINTS];
                        for (row, d) in d.iter_mut().enumerate() {
                            *d = M::S::load(pixel.add(row * pitch));
                        }
                        let transformed = input::<M::S>(d);
                        for i in 0..POINTS {
                            vertical[i][column] = transformed[i];
                        }
                        pixel = pixel.add(channels);
                    }
                    let mut tile = 0;
                    while tile < tiles {
                        let row = (first + tile) / W::TILES * planes.pitch;
                        let to = to.add(row + channel / W::CHANNELS);
                        for (i, row) in vertical.iter().enumerate() {
                            let one = horizontal::<M::S>(row, tile);
                            let next = match W::TILES == 2 && tile + 1 < tiles {
                                true => horizontal::<M::S>(row, tile + 1),
                                false => [zero; POINTS],
                            };
                            for j in 0..POINTS {
                                let to = to.add((POINTS * i + j) * planes.step);
                                W::store::<M>(to, one[j], next[j]);
                            }
                        }
                        tile += W::TILES;
                    }
                    channel += lanes;
                }
                first += tiles;
            }
        }
    }

    /// `A y A^T` of a row of tiles of a map that has the zeros of [`Tiles::beyond`].
    ///
    /// # Safety
    /// As for [`Tiles::input_row`], with four rows of pixels.
    #[inline(always)]
    pub(super) unsafe fn gradient_row<M: Arithmetic, W: Words>(
        &self,
        (map, pitch): (*const f32, usize),
        channels: usize,
        (to, planes): (*mut f32, Planes),
    ) {
        // SAFETY: the pixels of tiles that there are; the caller has the instruction set.
        unsafe {
            let zero = M::S::splat(0.0);
            let mut tile = 0;
            while tile < self.columns {
                let tiles = W::TILES.min(self.columns - tile);
                let mut channel = 0;
                while channel < channels {
                    let mut vertical = [[[zero; TILE]; POINTS]; 2];
                    for (next, vertical) in vertical.iter_mut().enumerate().take(tiles) {
                        let pixel = map.add(TILE * (tile + next) * channels + channel);
                        for column in 0..TILE {
                            let mut y = [zero; TILE];
                            for (row, y) in y.iter_mut().enumerate() {
                                *y = M::S::load(pixel.add(row * pitch + column * channels));
                            }
                            let transformed = output_gradient::<M::S>(y);
                            for i in 0..POINTS {
                                vertical[i][column] = transformed[i];
                            }
                        }
                    }
                    let to = to.add(tile / W::TILES * planes.pitch + channel / W::CHANNELS);
                    for i in 0..POINTS {
                        let one = output_gradient::<M::S>(vertical[0][i]);
                        let next = match W::TILES == 2 {
                            true => output_gradient::<M::S>(vertical[1][i]),
                            false => [zero; POINTS],
                        };
                        for j in 0..POINTS {
                            let to = to.add((POINTS * i + j) * planes.step);
                            W::store::<M>(to, one[j], next[j]);
                        }
                    }
                    channel += M::S::LANES;
                }
                tile += W::TILES;
            }
        }
    }

    /// `A^T m A` of row `row` of a map's tiles, to the pixels that there are.
    ///
    /// # Safety
    /// `from` has a row for each tile; the output takes the map's pixels and `channels` columns.
    #[inline(always)]
    pub(super) unsafe fn output_row<S: Simd, O: Output>(
        &self,
        (from, planes): (*const f32, Planes),
        row: usize,
        channels: usize,
        to: &O,
    ) {
        let [height, width] = self.map;
        for tile in 0..self.columns {
            let mut channel = 0;
            while channel < channels {
                let lanes = S::LANES.min(channels - channel);
                // SAFETY: the tile's 36 products; only pixels of the map are stored.
                unsafe {
                    let from = from.add(tile * planes.pitch + channel);
                    let mut vertical = [[S::splat(0.0); POINTS]; TILE];
                    for j in 0..POINTS {
                        let mut m = [S::splat(0.0); POINTS];
                        for (i, m) in m.iter_mut().enumerate() {
                            *m = S::load(from.add((POINTS * i + j) * planes.step));
                        }
                        let transformed = output::<S>(m);
                        for i in 0..TILE {
                            vertical[i][j] = transformed[i];
                        }
                    }
                    let initial = to.initial::<S>(channel, lanes);
                    for (i, m) in vertical.iter().enumerate() {
                        let (p, values) = (TILE * row + i, output::<S>(*m));
                        for (j, value) in values.iter().enumerate() {
                            let q = TILE * tile + j;
                            if p < height && q < width {
                                let sum = S::add(initial, *value);
                                to.store::<S>(p * width + q, channel, sum, lanes);
                            }
                        }
                    }
                }
                channel += S::LANES;
            }
        }
    }
}

/// `B^T d` of a tile of a row that was transformed vertically.
#[inline(always)]
unsafe fn horizontal<S: Simd>(
    row: &[S::Vector; TILE * SHARED + 2],
    tile: usize,
) -> [S::Vector; POINTS] {
    // SAFETY: the caller's; a row has that many tiles.
    unsafe {
        let mut d = [S::splat(0.0); POINTS];
        d.copy_from_slice(row.get_unchecked(TILE * tile..TILE * tile + POINTS));
        input::<S>(d)
    }
}

impl Planes {
    /// Matrices of so many rows and columns of words.
    pub(super) fn new(rows: usize, columns: usize, lanes: usize) -> Self {
        let pitch = columns.next_multiple_of(lanes);
        Planes { pitch, step: rows * pitch + APART }
    }

    /// Words of all of them.
    pub(super) fn words(self) -> usize {
        PLANES * self.step
    }
}

/// Ranges of rows of tiles: the first and how many.
pub(super) struct Bands {
    next: usize,
    rows: usize,
    band: usize,
}

impl Iterator for Bands {
    type Item = (usize, usize);

    #[inline(always)]
    fn next(&mut self) -> Option<(usize, usize)> {
        let count = self.band.min(self.rows - self.next);
        let first = self.next;
        self.next += count;
        (count > 0).then_some((first, count))
    }
}
