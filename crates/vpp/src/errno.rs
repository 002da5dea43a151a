//! The names of VPP's API return values, as `src/vnet/error.h` assigns them.
//!
//! Errors include these names because operators search VPP's source for them. Numbers whose meaning differs between
//! releases are left out, and so are those of unrelated features (BFD, LISP, DNS, sessions).

/// The VIP, prefix or application server does not exist.
pub const NO_SUCH_ENTRY: i32 = -6;
/// The table length or number of buckets is not a power of two.
pub const INVALID_MEMORY_SIZE: i32 = -70;
/// The prefix has another encapsulation.
pub const INVALID_ARGUMENT: i32 = -73;
/// The VIP or application server exists, or an all-port VIP would share its prefix with a per-port VIP.
pub const VALUE_EXIST: i32 = -81;
/// The address family does not match the encapsulation.
pub const INVALID_ADDRESS_FAMILY: i32 = -97;

/// VPP's name of a return value; `UNKNOWN` if it is not in the table.
pub fn name(retval: i32) -> &'static str {
    NAMES.iter().find(|(number, _)| *number == retval).map_or("UNKNOWN", |(_, name)| name)
}

const NAMES: &[(i32, &str)] = &[
    (0, "OK"),
    (10, "IN_PROGRESS"),
    (-1, "UNSPECIFIED"),
    (-2, "INVALID_SW_IF_INDEX"),
    (-3, "NO_SUCH_FIB"),
    (-4, "NO_SUCH_INNER_FIB"),
    (-5, "NO_SUCH_LABEL"),
    (NO_SUCH_ENTRY, "NO_SUCH_ENTRY"),
    (-7, "INVALID_VALUE"),
    (-8, "INVALID_VALUE_2"),
    (-9, "UNIMPLEMENTED"),
    (-10, "INVALID_SW_IF_INDEX_2"),
    (-11, "SYSCALL_ERROR_1"),
    (-12, "SYSCALL_ERROR_2"),
    (-13, "SYSCALL_ERROR_3"),
    (-14, "SYSCALL_ERROR_4"),
    (-15, "SYSCALL_ERROR_5"),
    (-16, "SYSCALL_ERROR_6"),
    (-17, "SYSCALL_ERROR_7"),
    (-18, "SYSCALL_ERROR_8"),
    (-19, "SYSCALL_ERROR_9"),
    (-20, "SYSCALL_ERROR_10"),
    (-30, "FEATURE_DISABLED"),
    (-31, "INVALID_REGISTRATION"),
    (-50, "NEXT_HOP_NOT_IN_FIB"),
    (-51, "UNKNOWN_DESTINATION"),
    (-52, "NO_PATHS_IN_ROUTE"),
    (-53, "NEXT_HOP_NOT_FOUND_MP"),
    (-54, "NO_MATCHING_INTERFACE"),
    (-57, "INVALID_SRC_ADDRESS"),
    (-58, "INVALID_DST_ADDRESS"),
    (-59, "ADDRESS_LENGTH_MISMATCH"),
    (-60, "ADDRESS_NOT_FOUND_FOR_INTERFACE"),
    (-62, "IP6_NOT_ENABLED"),
    (-63, "NO_SUCH_NODE"),
    (-64, "NO_SUCH_NODE2"),
    (-65, "NO_SUCH_TABLE"),
    (-66, "NO_SUCH_TABLE2"),
    (-67, "NO_SUCH_TABLE3"),
    (INVALID_MEMORY_SIZE, "INVALID_MEMORY_SIZE"),
    (-71, "INVALID_INTERFACE"),
    (INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    (-74, "UNEXPECTED_INTF_STATE"),
    (-77, "RESPONSE_NOT_READY"),
    (-78, "NOT_CONNECTED"),
    (-79, "IF_ALREADY_EXISTS"),
    (VALUE_EXIST, "VALUE_EXIST"),
    (-82, "SAME_SRC_DST"),
    (-85, "NOT_RUNNING_AS_ROOT"),
    (-86, "ALREADY_CONNECTED"),
    (-89, "INVALID_WORKER"),
    (INVALID_ADDRESS_FAMILY, "INVALID_ADDRESS_FAMILY"),
    (-98, "INVALID_SUB_SW_IF_INDEX"),
    (-99, "TABLE_TOO_BIG"),
    (-100, "CANNOT_ENABLE_DISABLE_FEATURE"),
    (-105, "ADDRESS_IN_USE"),
    (-106, "ADDRESS_NOT_IN_USE"),
    (-107, "QUEUE_FULL"),
    (-114, "ADDRESS_FOUND_FOR_INTERFACE"),
    (-116, "ENTRY_ALREADY_EXISTS"),
    (-125, "INVALID_QUEUE"),
    (-126, "UNSUPPORTED"),
    (-127, "DUPLICATE_IF_ADDRESS"),
    (-133, "ILLEGAL_NAME"),
    (-144, "INIT_FAILED"),
    (-145, "NETLINK_ERROR"),
    (-147, "INSTANCE_IN_USE"),
    (-153, "INVALID_PROTOCOL"),
    (-154, "INVALID_ALGORITHM"),
    (-155, "RSRC_IN_USE"),
    (-159, "API_ENDIAN_FAILED"),
    (-160, "NO_CHANGE"),
    (-162, "LIMIT_EXCEEDED"),
    (-165, "EAGAIN"),
    (-166, "INVALID_VALUE_4"),
    (-167, "BUSY"),
    (-168, "BUG"),
    (-169, "FEATURE_ALREADY_DISABLED"),
    (-170, "FEATURE_ALREADY_ENABLED"),
    (-171, "TIMEOUT"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn return_values_of_the_lb_plugin_have_names() {
        let names = [-6, -70, -73, -81, -97].map(name);
        assert_eq!(
            names,
            ["NO_SUCH_ENTRY", "INVALID_MEMORY_SIZE", "INVALID_ARGUMENT", "VALUE_EXIST", "INVALID_ADDRESS_FAMILY"]
        );
        assert_eq!(name(-4711), "UNKNOWN");
    }

    #[test]
    fn numbers_are_unique() {
        let mut numbers: Vec<i32> = NAMES.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), NAMES.len());
    }
}
