//! The pages of an account, as data: a sheet has sections, and a section has words, facts, rows, a form.
//!
//! All of them are made of the same few parts, so that each is labelled, tells what is wrong where it is wrong, and can be
//! used with a keyboard and without a script. What a part shows is text, which its template escapes.

use askama::Template;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

use super::page;
use super::problem::Problem;

/// Characters of a field unless it says otherwise: the longest thing asked for is a handle or an e-mail address.
const CHARS_MAX: usize = 320;

/// One page.
#[derive(Template, Default)]
#[template(path = "sheet.html")]
pub(super) struct Sheet {
    pub(super) title: String,
    /// To the other pages of the account.
    pub(super) links: Vec<Link>,
    /// What was just done.
    pub(super) notice: Option<String>,
    /// What went wrong with a form that is not on the page any more.
    pub(super) alert: Option<String>,
    pub(super) sections: Vec<Section>,
}

impl Sheet {
    /// Whether a form of it asks for a passkey, which takes a script.
    fn has_script(&self) -> bool {
        let asks = |section: &Section| section.form.as_ref().is_some_and(|form| form.passkey.is_some());
        self.sections.iter().any(asks)
    }

    fn has_form(&self, id: &str) -> bool {
        let of_items = |section: &Section| section.items.iter().any(|item| is_form(&item.form, id));
        self.sections.iter().any(|section| is_form(&section.form, id) || of_items(section))
    }
}

fn is_form(form: &Option<Form>, id: &str) -> bool {
    form.as_ref().is_some_and(|form| form.id == id)
}

/// A part of a page.
#[derive(Default)]
pub(super) struct Section {
    pub(super) heading: Option<&'static str>,
    pub(super) text: Vec<String>,
    /// Names and what they stand for.
    pub(super) facts: Vec<(&'static str, String)>,
    /// A drawing of ours (SVG), which is not escaped.
    pub(super) picture: Option<String>,
    pub(super) items: Vec<Item>,
    pub(super) form: Option<Form>,
    pub(super) links: Vec<Link>,
}

/// One of a list.
pub(super) struct Item {
    pub(super) title: String,
    pub(super) details: Vec<String>,
    pub(super) form: Option<Form>,
}

/// A way to another page of ours.
pub(super) struct Link {
    pub(super) path: String,
    pub(super) text: &'static str,
    /// Whether it is the page that has it.
    pub(super) is_here: bool,
}

impl Link {
    pub(super) fn to(path: impl Into<String>, text: &'static str) -> Self {
        Self { path: path.into(), text, is_here: false }
    }
}

/// What became of a form, for the page that is shown after it.
#[derive(Default)]
pub(super) struct Told {
    /// Which form, by its id.
    pub(super) form: &'static str,
    /// What was done.
    pub(super) notice: Option<String>,
    /// Why it was not.
    pub(super) problem: Option<Problem>,
    /// What was filled in, so that nobody has to type it again. Never a password.
    pub(super) filled: Vec<(&'static str, String)>,
}

impl Told {
    /// Something was done.
    pub(super) fn done(notice: impl Into<String>) -> Self {
        Self { notice: Some(notice.into()), ..Self::default() }
    }

    /// Nothing was, of this form.
    pub(super) fn wrong(form: &'static str, problem: Problem) -> Self {
        Self { form, problem: Some(problem), ..Self::default() }
    }

    /// The same, with what a field had.
    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.filled.push((name, value.into()));
        self
    }

    /// Whether a form was taken.
    pub(super) fn status(&self) -> StatusCode {
        self.problem.as_ref().map_or(StatusCode::OK, |problem| problem.status)
    }

    /// A page that tells it: by its status too, and when to try again. Its forms may lead on to `form_action`.
    pub(super) fn page(&self, template: &impl Template, form_action: Option<&str>) -> Response {
        let mut response = page::page(self.status(), template, form_action);
        if let Some(seconds) = self.problem.as_ref().and_then(|problem| problem.retry_seconds) {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// Shows the page.
    pub(super) fn show(&self, mut sheet: Sheet) -> Response {
        if !sheet.has_form(self.form) {
            sheet.alert = self.problem.as_ref().map(|problem| problem.text.clone());
        }
        let mut response = self.page(&sheet, None);
        if sheet.has_script() {
            page::allow_script(&mut response);
        }
        response
    }
}

/// A form, of which each field has what is wrong with it.
#[derive(Template)]
#[template(path = "form.html")]
pub(super) struct Form {
    id: &'static str,
    path: &'static str,
    token: String,
    hidden: Vec<(&'static str, String)>,
    /// What is asked of a passkey, and with what: by a script.
    passkey: Option<(&'static str, String)>,
    inputs: Vec<Input>,
    buttons: Vec<Button>,
    /// What is wrong, unless a field has it.
    error: Option<String>,
    filled: Vec<(&'static str, String)>,
}

struct Button {
    action: &'static str,
    text: &'static str,
    class: &'static str,
    /// What it does it to, where others beside it do it to something else.
    about: Option<String>,
    /// Whether it needs no field.
    is_way_out: bool,
}

impl Form {
    /// A form that goes to `path`, and fits the browser it is given to by its token.
    pub(super) fn new(id: &'static str, path: &'static str, token: String, told: &Told) -> Self {
        let is_its = told.form == id;
        let error = told.problem.as_ref().filter(|_| is_its).map(|problem| problem.text.clone());
        let filled = if is_its { told.filled.clone() } else { Vec::new() };
        let (hidden, inputs, buttons) = (Vec::new(), Vec::new(), Vec::new());
        Self { id, path, token, hidden, passkey: None, inputs, buttons, error, filled }
    }

    /// Has a script ask for a passkey before the form is sent.
    pub(super) fn passkey(self, ceremony: &'static str, options: String) -> Self {
        Self { passkey: Some((ceremony, options)), ..self }
    }

    /// What goes along.
    pub(super) fn hidden(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.hidden.push((name, value.into()));
        self
    }

    /// A field, with what was filled in and what is wrong with it.
    pub(super) fn input(mut self, told: &Told, mut input: Input) -> Self {
        input.id = format!("{}-{}", self.id, input.name);
        if let Some((_, value)) = self.filled.iter().find(|(name, _)| *name == input.name) {
            input.value.clone_from(value);
        }
        if told.form == self.id && told.problem.as_ref().is_some_and(|problem| problem.field == input.name) {
            input.error = self.error.take();
        }
        self.inputs.push(input);
        self
    }

    /// The same, where it is asked for.
    pub(super) fn maybe(self, told: &Told, input: Option<Input>) -> Self {
        match input {
            Some(input) => self.input(told, input),
            None => self,
        }
    }

    /// The button that the form is for.
    pub(super) fn first(self, action: &'static str, text: &'static str) -> Self {
        self.button(action, text, "first", None)
    }

    /// Another one.
    pub(super) fn other(self, action: &'static str, text: &'static str) -> Self {
        self.button(action, text, "", None)
    }

    /// One that ends something.
    pub(super) fn danger(self, action: &'static str, text: &'static str, about: Option<String>) -> Self {
        self.button(action, text, "danger", about)
    }

    fn button(
        mut self,
        action: &'static str,
        text: &'static str,
        class: &'static str,
        about: Option<String>,
    ) -> Self {
        self.buttons.push(Button { action, text, class, about, is_way_out: false });
        self
    }

    /// A button that sends the form whatever its fields have.
    pub(super) fn cancel(mut self) -> Self {
        let (action, text) = ("cancel", "Cancel");
        self.buttons.push(Button { action, text, class: "", about: None, is_way_out: true });
        self
    }
}

/// One of several that are offered.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
}

/// A field of a form.
#[derive(Template)]
#[template(path = "input.html")]
pub(super) struct Input {
    id: String,
    name: &'static str,
    label: &'static str,
    kind: &'static str,
    value: String,
    autocomplete: &'static str,
    hint: Option<String>,
    error: Option<String>,
    options: Vec<Choice>,
    chars_max: usize,
    is_required: bool,
    /// Not a text in anybody's language.
    is_exact: bool,
}

impl Input {
    /// A line of text.
    pub(super) fn text(name: &'static str, label: &'static str) -> Self {
        Self {
            id: String::new(),
            name,
            label,
            kind: "text",
            value: String::new(),
            autocomplete: "off",
            hint: None,
            error: None,
            options: Vec::new(),
            chars_max: CHARS_MAX,
            is_required: true,
            is_exact: true,
        }
    }

    /// A password, `autocomplete` as password managers know it.
    pub(super) fn password(name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        let chars_max = crate::limits::PASSWORD_BYTES_MAX;
        Self { kind: "password", autocomplete, chars_max, ..Self::text(name, label) }
    }

    /// An e-mail address.
    pub(super) fn email(name: &'static str, label: &'static str) -> Self {
        Self { kind: "email", autocomplete: "email", ..Self::text(name, label) }
    }

    /// A code that was mailed, or is made by an app.
    pub(super) fn code(label: &'static str) -> Self {
        Self { autocomplete: "one-time-code", ..Self::text("code", label) }
    }

    /// One of several; the first unless told otherwise.
    pub(super) fn choice(name: &'static str, label: &'static str, options: Vec<Choice>) -> Self {
        let value = options.first().map(|option| option.value.clone()).unwrap_or_default();
        Self { options, value, ..Self::text(name, label) }
    }

    /// As a password manager knows it.
    pub(super) fn autocomplete(self, autocomplete: &'static str) -> Self {
        Self { autocomplete, ..self }
    }

    /// What helps to fill it in.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// It may stay empty.
    pub(super) fn optional(self) -> Self {
        Self { is_required: false, ..self }
    }
}
