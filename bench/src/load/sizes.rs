//! The sizes at which a cost is measured, and how it grows with them.

use std::fmt;
use std::str::FromStr;

use crate::report::Report;

/// Three sizes, each larger than the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes([u32; 3]);

impl Sizes {
    /// Of connections: up to what `tidings` takes by default.
    pub(crate) const CONNECTIONS: Self = Self([1000, 5000, 15_000]);
    /// Of what a server keeps.
    pub(crate) const MANY: Self = Self([1000, 100_000, 1_000_000]);
    /// To see that everything works.
    pub(crate) const FEW: Self = Self([100, 300, 900]);

    pub(crate) const fn all(self) -> [u32; 3] {
        self.0
    }

    pub(crate) const fn largest(self) -> u32 {
        self.0[2]
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let sizes: Option<Vec<u32>> = text.split(',').map(|size| size.parse().ok()).collect();
        match sizes.as_deref() {
            Some(&[small, middle, large]) if 0 < small && small < middle && middle < large => {
                Ok(Self([small, middle, large]))
            }
            Some(_) | None => {
                Err("write three whole numbers that grow, for example 1000,5000,15000".to_owned())
            }
        }
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [small, middle, large] = self.0;
        write!(f, "{small},{middle},{large}")
    }
}

/// What the figures of one cost are called: how it grows, then at each size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrowthNames {
    pub(crate) growth: &'static str,
    pub(crate) at: [&'static str; 3],
}

impl GrowthNames {
    /// Adds what one costs at each size, and the largest ratio to what it costs at the smallest: 1 or
    /// less means that it does not grow.
    pub(crate) fn report(&self, report: &mut Report, costs: [Option<f64>; 3]) {
        if let [Some(small), Some(middle), Some(large)] = costs
            && small > 0.0
        {
            report.figure(self.growth, middle.max(large) / small);
        }
        for (name, cost) in self.at.into_iter().zip(costs) {
            if let Some(cost) = cost {
                report.figure(name, cost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_sizes_that_grow_are_read() {
        let sizes: Sizes = "10,200,3000".parse().expect("three sizes");
        assert_eq!((sizes.all(), sizes.largest()), ([10, 200, 3000], 3000));
        assert_eq!(sizes.to_string(), "10,200,3000");
        for wrong in ["", "1,2", "1,2,3,4", "0,1,2", "3,2,1", "1,1,2", "1,2,many"] {
            let error = wrong.parse::<Sizes>().expect_err(wrong);
            assert!(error.contains("three whole numbers that grow"), "{error}");
        }
    }

    #[test]
    fn growth_is_the_largest_ratio_to_the_smallest_size() {
        let names = GrowthNames { growth: "growth_ratio", at: ["small", "middle", "large"] };
        let growth = |costs| {
            let mut report = Report::new("growth");
            names.report(&mut report, costs);
            (report.value("growth_ratio"), report.value("middle"))
        };
        assert_eq!(growth([Some(2.0), Some(5.0), Some(3.0)]), (Some(2.5), Some(5.0)));
        assert_eq!(growth([Some(2.0), Some(1.0), Some(1.5)]), (Some(0.75), Some(1.0)));
        assert_eq!(growth([Some(0.0), Some(1.0), Some(1.5)]), (None, Some(1.0)));
        assert_eq!(growth([None, Some(1.0), None]), (None, Some(1.0)));
    }
}
