//! Names at the ends of lines: near them, and not over one another.

/// Places for labels that want to be at `wanted` (in any order), at least `gap` apart, between `top`
/// and `bottom`: each group of labels that would overlap is moved as a whole, as little as possible.
#[must_use]
pub fn spread(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]).then(a.cmp(&b)));
    // Groups of labels that touch: how many, and where the first one is.
    let mut groups: Vec<(usize, f64)> = Vec::new();
    let clamp = |first: f64, n: usize| {
        let last = bottom - gap * (n - 1) as f64;
        first.min(last).max(top)
    };
    let mut sums: Vec<f64> = Vec::new();
    for &i in &order {
        groups.push((1, clamp(wanted[i], 1)));
        sums.push(wanted[i]);
        while let [.., (n, before), (m, first)] = groups[..]
            && first < before + gap * n as f64
        {
            groups.truncate(groups.len() - 2);
            let (b, a) = (sums.pop().unwrap_or(0.0), sums.pop().unwrap_or(0.0));
            // As if each were at its own place: the first one's mean wish.
            let sum = a + b - gap * (n * m) as f64;
            groups.push((n + m, clamp(sum / (n + m) as f64, n + m)));
            sums.push(sum);
        }
    }
    let mut out = vec![0.0; wanted.len()];
    let mut order = order.into_iter();
    for (n, first) in groups {
        for (k, i) in order.by_ref().take(n).enumerate() {
            out[i] = first + gap * k as f64;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        for (x, y) in a.iter().zip(b) {
            assert!((x - y).abs() < 1e-9, "{a:?} {b:?}");
        }
    }

    #[test]
    fn what_does_not_overlap_stays() {
        near(
            &spread(&[50.0, 10.0, 90.0], 20.0, 0.0, 100.0),
            &[50.0, 10.0, 90.0],
        );
        assert!(spread(&[], 20.0, 0.0, 100.0).is_empty());
    }

    #[test]
    fn what_overlaps_moves_apart_evenly() {
        near(&spread(&[50.0, 50.0], 20.0, 0.0, 100.0), &[40.0, 60.0]);
        near(
            &spread(&[50.0, 52.0, 48.0], 10.0, 0.0, 100.0),
            &[50.0, 60.0, 40.0],
        );
        // At an edge, away from it.
        near(&spread(&[99.0, 100.0], 20.0, 0.0, 100.0), &[80.0, 100.0]);
        near(&spread(&[0.0, 1.0], 20.0, 0.0, 100.0), &[0.0, 20.0]);
    }

    #[test]
    fn all_are_apart_and_inside() {
        let wanted: Vec<f64> = (0..10).map(|n| f64::from(n * n % 7) * 9.0).collect();
        let mut places = spread(&wanted, 14.0, 0.0, 200.0);
        places.sort_by(f64::total_cmp);
        assert!(
            places.windows(2).all(|w| w[1] - w[0] > 13.999),
            "{places:?}"
        );
        assert!(places[0] >= 0.0 && places[9] <= 200.0, "{places:?}");
    }
}
