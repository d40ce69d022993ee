//! Drivers that are asked each question once per test program: an answer depends on nothing but its question.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use oneks::drivers::{Drivers, Executables};
use oneks_driver::{Action, DriverError};
use serde_json::Value;

type Question = (String, String);

static ANSWERS: LazyLock<Mutex<HashMap<Question, Value>>> = LazyLock::new(Mutex::default);

/// The drivers' executables, with a memory.
pub struct Remembered(pub Executables);

impl Drivers for Remembered {
    fn ask(&self, driver: &str, action: &Action) -> Result<Value, DriverError> {
        let question = (driver.to_owned(), serde_json::to_string(action).unwrap());
        if let Some(answer) = ANSWERS.lock().unwrap().get(&question) {
            return Ok(answer.clone());
        }
        let answer = self.0.ask(driver, action)?;
        ANSWERS.lock().unwrap().insert(question, answer.clone());
        Ok(answer)
    }
}
