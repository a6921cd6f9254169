// Trees, rings, heaps, counted slices, weak pointers, C strings, locks, numbers with a niche.
include!("show.rs");
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::ffi::CString;
use std::num::NonZeroU32;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, RwLock};

trait Sound {
    fn sound(&self) -> f64;
}
struct Dog {
    age: u8,
    weight: f64,
}
impl Sound for Dog {
    fn sound(&self) -> f64 {
        self.weight + f64::from(self.age)
    }
}

/// As a debugger's line has it: the first eight.
fn some<T: std::fmt::Debug>(items: impl Iterator<Item = T>) -> String {
    let mut parts: Vec<String> = items.take(9).map(|x| format!("{:?}", x)).collect();
    if parts.len() == 9 {
        parts[8] = "…".into();
    }
    parts.join(", ")
}

fn main() {
    let names: BTreeMap<String, Vec<i32>> = [("k".to_string(), vec![1, 2]), ("l".to_string(), vec![])].into();
    let squares: BTreeMap<i32, i64> = (0..600).map(|i| (i, i64::from(i) * i64::from(i))).collect();
    let none: BTreeMap<u8, u8> = BTreeMap::new();
    let set: BTreeSet<u16> = (0..30).rev().collect();
    let mut ring: VecDeque<i32> = VecDeque::with_capacity(4);
    ring.extend([1, 2, 3]);
    ring.pop_front();
    ring.pop_front();
    ring.extend([4, 5]);
    let heap: BinaryHeap<i32> = vec![9, 5, 2].into();
    let text: Rc<str> = "counted".into();
    let slice: Rc<[i16]> = vec![7, 8].into();
    let dog: Rc<dyn Sound> = Rc::new(Dog { age: 4, weight: 20.5 });
    let nowhere: Weak<i32> = Weak::new();
    let gone = Rc::downgrade(&Rc::new(5));
    let shared = Rc::new(6);
    let weak = Rc::downgrade(&shared);
    let c = CString::new("c string").unwrap();
    let borrowed = c.as_c_str();
    let path = Path::new("/a/b");
    let mutex = Mutex::new(11);
    let lock = RwLock::new(String::from("lock"));
    let cell = RefCell::new(12);
    let guard = cell.borrow();
    let niche = NonZeroU32::new(6);
    let atomic = AtomicU32::new(3);
    at!(main); // #BP main
    show!(names, ring);
    say!(squares, format!("{{{}}}", some(squares.iter()).replace("(", "").replace("),", ";").replace(")", "").replace(",", ":").replace(";", ",").replace(": …", ", …")));
    say!(none, "{}");
    say!(set, format!("{{{}}}", some(set.iter())));
    say!(heap, format!("[{}]", some(heap.iter())));
    say!(text, format!("{:?} ({} owner)", text, Rc::strong_count(&text)));
    say!(slice, format!("{:?} ({} owner)", slice, Rc::strong_count(&slice)));
    say!(dog, format!("{{age: 4, weight: {:?}}} ({} owner)", dog.sound() - 4.0, Rc::strong_count(&dog)));
    say!(nowhere, if nowhere.upgrade().is_none() { "(to nothing)" } else { "?" });
    say!(gone, if gone.upgrade().is_none() { "(its value is gone)" } else { "?" });
    say!(shared, "6 (1 owner)");
    say!(weak, format!("{} (weak, {} owner)", *shared, weak.strong_count()));
    show!(c, borrowed, path);
    say!(mutex, mutex.lock().unwrap());
    say!(lock, format!("{:?}", lock.read().unwrap()));
    say!(cell, "12");
    say!(guard, *guard);
    show!(niche);
    say!(atomic, atomic.load(Ordering::SeqCst));
    println!("squares[599]={}", squares[&599]);
    println!("names[\"k\"][1]={}", names["k"][1]);
    println!("squares.len()={}", squares.len());
    say!(ring[1], ring[1]);
}
