// Strings, slices of them, vectors, boxes, conversions.
include!("show.rs");

struct Document {
    title: String,
    lines: Vec<String>,
    words: usize,
}

fn longest<'a>(a: &'a str, b: &'a str) -> &'a str {
    let result = if a.len() >= b.len() { a } else { b };
    at!(longest); // #BP longest
    show!(a, b, result);
    result
}

fn load(title: String, text: &str) -> Document {
    let mut lines = Vec::new();
    let mut words = 0;
    for line in text.lines() {
        words += line.split(' ').count();
        lines.push(line.to_string());
        at!(line); // #BP line
        show!(title, text, lines[0], words, line);
        let end = line.as_ptr() as usize + line.len() - text.as_ptr() as usize;
        say!(iter, format!("{:?}", text[end..].trim_start()));
    }
    Document { title, lines, words }
}

fn consume(bytes: Vec<u8>, owned: Box<String>) -> usize {
    let n = bytes.len() + owned.len();
    at!(consume); // #BP consume
    show!(bytes[0], bytes[1], *owned, n);
    n
}

fn main() {
    let doc = load("Tïtle".to_string(), "first line\nsecond");
    let mut text = String::with_capacity(100);
    text.push_str("grown ");
    text += &doc.title;
    let slice = &text[0..5];
    let chosen = longest(slice, "ab");
    let empty = String::new();
    let matrix = vec![vec![1, 2], vec![3]];
    let strs: Vec<&str> = text.split(' ').collect();
    let n = consume(vec![104, 105], Box::new("boxed".into()));
    let bytes: &[u8] = b"raw";
    at!(main); // #BP main
    show!(doc.title, doc.lines[1], doc.words, text, slice, chosen, empty, matrix[0][1], matrix[1][0], strs[0], strs[1], n, bytes[2]);
}
