//! What stores can do.

/// What a store can do. Plans ask for no more.
///
/// A store of a program's own says what it can do more than [`NONE`](Self::NONE), so that it stays right
/// when there are more things to be able to do:
///
/// ```
/// # use fuzarr::store::Capabilities;
/// const CAPABILITIES: Capabilities = Capabilities::NONE.with_blocking(true).with_ranges(true);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Every answer is ready at once: whole lives of objects run on the threads that drive them. Without
    /// it, answers are awaited, many at the same time.
    pub blocking: bool,
    /// Parts of objects can be read; without it, plans ask for whole objects only.
    pub ranges: bool,
    /// Bytes that are read in about the time that one more request takes: what lies at most so far
    /// apart is better read as one.
    pub gap: u64,
    /// Preconditions of writes are honoured.
    pub compare_and_swap: bool,
    /// Preconditions of deletions are honoured too; where they are not, plans keep an object of
    /// nothing rather than to delete one that another writer may just have replaced.
    pub conditional_delete: bool,
    /// Bytes of the object that a put replaces can be carried over ([`Part::Kept`](super::Part::Kept)) for less than
    /// reading and writing them.
    pub carry_over: bool,
    /// Objects can be written piece by piece, see [`Store::begin`](super::Store::begin).
    pub uploads: bool,
    /// Preconditions of uploads are honoured, however large the object is.
    pub conditional_uploads: bool,
    /// Bytes of an object can be changed in place, see [`Store::patch`](super::Store::patch).
    pub patch: bool,
}

/// A method for each field.
macro_rules! settable {
    ($($method:ident $field:ident: $kind:ty),* $(,)?) => {
        $(
            #[doc = concat!("The same with this [`", stringify!($field), "`](Self::", stringify!($field), ").")]
            #[must_use]
            pub const fn $method(self, $field: $kind) -> Self {
                Self { $field, ..self }
            }
        )*
    };
}

impl Capabilities {
    /// Answers are awaited, objects are read and written whole, and no precondition is honoured.
    pub const NONE: Self = Self {
        blocking: false,
        ranges: false,
        gap: 0,
        compare_and_swap: false,
        conditional_delete: false,
        carry_over: false,
        uploads: false,
        conditional_uploads: false,
        patch: false,
    };

    settable! {
        with_blocking blocking: bool,
        with_ranges ranges: bool,
        with_gap gap: u64,
        with_compare_and_swap compare_and_swap: bool,
        with_conditional_delete conditional_delete: bool,
        with_carry_over carry_over: bool,
        with_uploads uploads: bool,
        with_conditional_uploads conditional_uploads: bool,
        with_patch patch: bool,
    }
}
