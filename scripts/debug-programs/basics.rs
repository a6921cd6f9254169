// Scalars, tuples, arrays, slices, shadowed names, loops, references, statics.
include!("show.rs");
static LIMIT: u32 = 40;
static mut COUNTER: i64 = -1;
const NAMES: [&str; 2] = ["one", "two"];

fn sum(values: &[i32], start: i64) -> i64 {
    let mut total = start;
    for (i, v) in values.iter().enumerate() {
        total += *v as i64;
        at!(item); // #BP item
        show!(values[0], values[1], start, total, i, *v);
        say!(iter.count, i + 1);
        say!(iter.iter, format!("{:?}", &values[i + 1..]));
    }
    total
}

fn change(by: &mut u16, pair: (i8, f32), flag: bool) -> char {
    *by += 1;
    let letter = if flag { 'é' } else { '\n' };
    at!(change); // #BP change
    show!(*by, pair.0, pair.1, flag, letter);
    letter
}

fn factorial(n: u64) -> u64 {
    let rest = if n < 2 { 1 } else { factorial(n - 1) };
    at!(factorial); // #BP factorial
    show!(n, rest);
    n * rest
}

fn main() {
    let x = 5;
    let x = x as f64 * 1.5;
    {
        let x = "shadow";
        at!(shadow); // #BP shadow
        show!(x);
    }
    let mut port: u16 = 65534;
    let letter = change(&mut port, (-8, 0.1), true);
    let array = [10, 20, 30, 40];
    let slice = &array[1..3];
    let total = sum(slice, 1 << 40);
    let big = u128::MAX - 1;
    let unit = ();
    let nested = ((1u8, 2.5f64), [true, false]);
    let f = factorial(3);
    unsafe { COUNTER -= LIMIT as i64 };
    at!(main); // #BP main
    show!(x, port, letter, array[3], slice[0], slice[1], total, big, (nested.0).0, (nested.0).1, nested.1[0], f, unit);
    let _ = NAMES;
}
