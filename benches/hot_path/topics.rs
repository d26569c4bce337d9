//! The topic tree: match and update.

use std::hint::black_box;

use barnacle::topics::TopicTree;
use criterion::Criterion;

/// Among 1, 10 thousand and 1 million filters, and for a topic that a thousand of them match.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("topic tree");
    for filters in [1_u32, 10_000, 1_000_000] {
        let mut tree = TopicTree::new();
        for number in 0..filters {
            tree.insert(&format!("plant/line-{}/press-{number}/+", number % 100), number);
        }
        let topic = format!("plant/line-{}/press-{}/pressure", (filters / 2) % 100, filters / 2);
        group.bench_function(format!("match among {filters}"), |bencher| {
            bencher.iter(|| {
                let mut found = 0;
                tree.for_each_match(black_box(&topic), |_| found += 1);
                found
            });
        });
        group.bench_function(format!("insert and remove among {filters}"), |bencher| {
            bencher.iter(|| {
                tree.insert("plant/line-7/press-new/+", 1);
                tree.remove("plant/line-7/press-new/+")
            });
        });
    }
    let mut tree = TopicTree::new();
    for bits in 0..1024_u32 {
        let level = |at: u32| if bits >> at & 1 == 1 { "+" } else { "l" };
        tree.insert(&(0..10).map(level).collect::<Vec<_>>().join("/"), bits);
    }
    let topic = ["l"; 10].join("/");
    group.bench_function("match 1024 of 1024", |bencher| {
        bencher.iter(|| {
            let mut found = 0;
            tree.for_each_match(black_box(&topic), |_| found += 1);
            found
        });
    });
    group.finish();
}
