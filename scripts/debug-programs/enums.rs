// Option, Result, enumerations with and without data, recursion over boxes, matching.
include!("show.rs");

#[derive(Debug, Clone, Copy, PartialEq)]
enum Level {
    Low = 1,
    High = 10,
}

#[derive(Debug, Clone)]
enum Shape {
    Dot,
    Circle(f64),
    Rect { w: u32, h: u32 },
    Named(String, Level),
}

#[derive(Debug)]
enum Tree {
    Leaf(i32),
    Node(Box<Tree>, Box<Tree>),
}

fn total(tree: &Tree, depth: u8) -> i32 {
    match tree {
        Tree::Leaf(n) => {
            at!(leaf); // #BP leaf
            show!(*n, depth, *tree);
            *n
        }
        Tree::Node(left, right) => {
            let l = total(left, depth + 1);
            let r = total(right, depth + 1);
            at!(node); // #BP node
            show!(l, r, depth, **left, **right, *tree);
            l + r
        }
    }
}

fn parse(text: &str) -> Result<i32, String> {
    let parsed = text.parse::<i32>();
    let result = match parsed {
        Ok(n) if n >= 0 => Ok(n),
        Ok(_) => Err(String::from("negative")),
        Err(_) => Err(format!("not a number: {}", text)),
    };
    at!(parse); // #BP parse
    show!(text, parsed, result);
    // A variable that is returned itself lives where the caller says, and the compiler does not tell where that is.
    result.clone()
}

fn area(shape: Shape) -> f64 {
    let result = match &shape {
        Shape::Circle(r) => r * r,
        Shape::Rect { w, h } => (w * h) as f64,
        _ => 0.0,
    };
    at!(area); // #BP area
    show!(shape, result);
    result
}

fn main() {
    let some = Some(3u8);
    let none: Option<u8> = None;
    let text = Some("text");
    let no_text: Option<&str> = None;
    let reference = some.as_ref();
    let boxed: Option<Box<i32>> = Some(Box::new(-9));
    let level = Level::High;
    let low = Level::Low;
    let sum = area(Shape::Dot) + area(Shape::Circle(1.5)) + area(Shape::Rect { w: 3, h: 4 }) + area(Shape::Named("n".into(), level));
    let tree = Tree::Node(Box::new(Tree::Leaf(5)), Box::new(Tree::Node(Box::new(Tree::Leaf(6)), Box::new(Tree::Leaf(7)))));
    let all = total(&tree, 0);
    let good = parse("12");
    let bad = parse("x");
    let worse = parse("-1");
    let nested: Result<Option<i64>, ()> = Ok(Some(1 << 50));
    let ordering = 1.cmp(&2);
    at!(main); // #BP main
    show!(some, none, text, no_text, reference, boxed, level, low, sum, all, good, bad, worse, nested, ordering, tree);
}
