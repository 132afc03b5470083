//! Octets that say themselves where TCP cuts them.

/// The first octet counts the cuts' sizes that follow it; the rest is the input, handed out in pieces of those sizes.
pub fn cut(data: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let Some((&count, rest)) = data.split_first() else { return (Vec::new(), data) };
    let (sizes, input) = rest.split_at(rest.len().min(usize::from(count % 8)));
    let mut pieces = Vec::new();
    let mut left = input;
    let mut sizes = sizes.iter().map(|size| usize::from(*size) + 1).cycle();
    while !left.is_empty() {
        let size = sizes.next().unwrap_or(left.len()).min(left.len());
        let (piece, tail) = left.split_at(size);
        pieces.push(piece);
        left = tail;
    }
    (pieces, input)
}
