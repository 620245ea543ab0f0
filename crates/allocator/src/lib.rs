//! Who is offered what.
