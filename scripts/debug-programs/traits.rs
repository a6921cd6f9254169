// Generics, methods, trait objects, closures, iterators, pattern bindings, inlined functions.
include!("show.rs");

trait Area: std::fmt::Debug {
    fn area(&self) -> f64;
    fn twice(&self) -> f64 {
        let one = self.area();
        at!(twice); // #BP twice
        show!(one, self);
        one * 2.0
    }
}
#[derive(Debug)]
struct Square {
    side: f64,
}
struct Pair<A, B> {
    first: A,
    second: B,
}
impl Area for Square {
    fn area(&self) -> f64 {
        let result = self.side * self.side;
        at!(area); // #BP area
        show!(self.side, result);
        result
    }
}
impl<A: Copy + std::fmt::Debug, B: Copy + std::fmt::Debug> Pair<A, B> {
    fn swap(self) -> Pair<B, A> {
        let swapped = Pair { first: self.second, second: self.first };
        at!(swap); // #BP swap
        show!(self.first, self.second, swapped.first, swapped.second);
        swapped
    }
}

#[inline(always)]
fn clamp<T: PartialOrd + std::fmt::Debug>(value: T, low: T, high: T) -> T {
    at!(clamp); // #BP clamp
    show!(value, low, high);
    if value < low { low } else if value > high { high } else { value }
}

fn apply<F: Fn(i32) -> i32>(f: F, n: i32) -> i32 {
    let result = f(n);
    at!(apply); // #BP apply
    show!(n, result);
    say!(f._ref__offset, result - n);
    result
}

fn main() {
    let square = Square { side: 1.5 };
    let object: &dyn Area = &square;
    let doubled = object.twice();
    let pair = Pair { first: 1u8, second: 2.5f32 }.swap();
    let offset = 100;
    let mut calls = 0;
    let added = apply(|n| n + offset, 5);
    let mut count = |n: i32| {
        calls += n;
        at!(closure); // #BP closure
        show!(n, calls);
        calls
    };
    count(2);
    let counted = count(3);
    let evens: Vec<i32> = (0..10).filter(|n| n % 2 == 0).map(|n| n * n).collect();
    let clamped = clamp(15, 0, 10);
    let float = clamp(-0.5, 0.0, 1.0);
    if let Pair { first: a @ 0.0..=9.0, second } = pair {
        at!(matched); // #BP matched
        show!(a, second, square.side, doubled, pair.first, pair.second, offset, calls, added, counted, evens[2], evens[4], clamped, float, object);
        say!(count._ref__calls, calls);
    }
}
