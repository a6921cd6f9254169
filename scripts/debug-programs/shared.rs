// Rc, RefCell, Cell, hash maps, nested structures, arrays of structures, modules.
include!("show.rs");
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

mod bank {
    #[derive(Debug, Clone)]
    pub struct Account {
        pub id: u32,
        pub owner: Owner,
        pub history: [i64; 3],
    }
    #[derive(Debug, Clone)]
    pub struct Owner {
        pub name: String,
        pub vip: bool,
    }
    impl Account {
        pub fn deposit(&mut self, amount: i64) -> i64 {
            self.history.rotate_right(1);
            self.history[0] = amount;
            let total: i64 = self.history.iter().sum();
            at!(deposit); // #BP deposit
            show!(self.id, self.owner.name, self.owner.vip, self.history[0], self.history[1], amount, total);
            total
        }
    }
}
use bank::{Account, Owner};

struct Node {
    value: Cell<i32>,
    children: RefCell<Vec<Rc<Node>>>,
}

fn text(node: &Node) -> String {
    let children: Vec<String> = node.children.borrow().iter().map(|c| counted(c)).collect();
    format!("{{value: {}, children: [{}]}}", node.value.get(), children.join(", "))
}

fn counted(node: &Rc<Node>) -> String {
    let count = Rc::strong_count(node);
    format!("{} ({} {})", text(node), count, if count == 1 { "owner" } else { "owners" })
}

fn visit(node: &Rc<Node>, depth: usize) -> i32 {
    let mut sum = node.value.get();
    node.value.set(sum + 1);
    for child in node.children.borrow().iter() {
        sum += visit(child, depth + 1);
    }
    at!(visit); // #BP visit
    show!(sum, depth);
    say!(node, counted(node));
    say!(**node, text(node));
    say!(node.value, node.value.get());
    sum
}

fn main() {
    let mut account = Account { id: 7, owner: Owner { name: "Ann".into(), vip: true }, history: [1, 2, 3] };
    let total = account.deposit(50);
    let accounts = [account.clone(), Account { id: 8, ..account.clone() }];
    let leaf = Rc::new(Node { value: Cell::new(5), children: RefCell::new(vec![]) });
    let root = Rc::new(Node { value: Cell::new(1), children: RefCell::new(vec![leaf.clone(), leaf.clone()]) });
    let visited = visit(&root, 0);
    let shared = Rc::new(String::from("shared"));
    let other = Rc::clone(&shared);
    let mut map = HashMap::new();
    map.insert("only", 1.5);
    let cell = RefCell::new(9);
    *cell.borrow_mut() += 1;
    let counts = Rc::strong_count(&leaf);
    let byte = Cell::new(3u8);
    at!(main); // #BP main
    show!(account.owner.name, account.history[0], accounts[1].id, accounts[0].owner.name, total, visited, *shared, *other, counts);
    say!(map, "(1) {\"only\": 1.5}");
    say!(cell, "10");
    say!(byte, "3");
    say!(leaf, counted(&leaf));
    say!(*root, text(&root));
    say!(root.children, format!("[{0}, {0}]", counted(&leaf)));
    show!(accounts[1].owner.vip);
}
