// What a program says of itself: the name of a marked line, then an expression and its value on each line.
#[allow(unused_macros)]
macro_rules! at { ($n:ident) => { println!("#{}", stringify!($n)) } }
#[allow(unused_macros)]
macro_rules! show { ($($e:expr),*) => { $( println!("{}={:?}", stringify!($e), $e); )* } }
#[allow(unused_macros)]
macro_rules! say { ($e:expr, $t:expr) => { println!("{}={}", stringify!($e), $t) } }
