"""Parts of the runtime that programs import."""
