"""Names that files, folders and classes really have, and that some programs stumble over."""

ODD = (
    "sale_$5_was_$10",
    "US$10",
    r"a\$b$",
    "_hidden",
    "100%_%s_{0}",
    "<script>alert(1)</script>&amp;",
    "two\nlines\r\tand a tab",
    "C:\\photos\\new",
    "🌹",
    "שושנה",
    "turned \u202ethgir",
    "Ro\u0308schen",  # decomposed
    "caf\udce9.jpg",  # Latin-1 on a disk of UTF-8 names
    "-->]]>",
    '"quoted", and; more\'',
    "x" * 251,
)
