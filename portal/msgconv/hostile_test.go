package msgconv

import (
	"strings"

	"maunium.net/go/mautrix/id"
)

// hostile returns HTML that nobody writes by accident.
func hostile() []string {
	return []string{
		"", " ", "<", "<b", "</", "&", "&#0;", "&#1;&#13;\r\n\x00", "\xff\xfe<b>\xc3</b>",
		"<script>alert(1)</script>x", "<script>alert(1)", "<style>p{}</style>y", "<svg onload=alert(1)>z</svg>",
		"<img src=x onerror=alert(1)>", "<a href=\"javascript:alert(1)\">x</a>", "<a href=\"JaVa\tScript:alert(1)\">x</a>",
		"<a href=\"https://a.b/<script>\">q</a>", "<a href='https://a.b/\"onclick=x'>q</a>", "<a href=//evil>x</a>", "<a href=data:text/html,x>d</a>",
		"<p><b><i>x</b>y</i></p><p><b>z<div>k</div>l</b>m", "<b><b><b>x</b>y</b>z</b>", "<a href=https://a.b>1<a href=https://c.d>2</a>3</a>",
		"<table>a<tr>b<td>c<table><td>d<tr>e</table>f</table>g", "<td>x<td>y", "<tr><td>x", "<li>a<li>b<ul><li>c<li>d<ol start=4><li>e</ul>f",
		"<p>a<table><tr><td><p>b<p>c</table>d", "<table><caption>c<tbody><tr><th>h<td>d<thead><tr><td>x", "<a href=https://a.b><table><td><a href=https://c.d>x",
		"<codeblock class=\"json\"><code>a<br>&nbsp;b</code></codeblock>", "<pre><code class=language-go>a\n\n  b</code></pre>", "<p><pre>x</p>y",
		"<at id=0>A</at>&nbsp;<at id=1>B</at>", "<attachment id=\"x\"/>y", "<emoji alt=\"x\"/>", "<details><summary>s<p>x</summary>y</details>",
		"<span data-mx-spoiler=\"r\">s<span data-mx-spoiler>t</span>u</span>", "<mx-reply>a<mx-reply>b</mx-reply>c</mx-reply>d", "<textarea><b>x", "<plaintext><b>x", "<xmp><b></xmp>", "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
		"<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">", "<!--x--><![CDATA[y]]><?z?><!doctype q>w",
		"\u202eabc\u202c<b>\u2066x</b>",
	}
}

// huge returns HTML that is hostile by its size.
func huge() []string {
	rep := strings.Repeat
	return []string{
		rep("<div>", 10000) + "x" + rep("</div>", 10000), rep("<b><i><u>", 3000) + "x", rep("<p><b>", 3000) + "x", rep("<table><tr><td>", 3000) + "x",
		rep("<ul><li>", 5000) + "x", rep("</p>", 20000), rep("<a href=https://a.b>x", 3000), rep("a<zz>", 20000), "<b " + rep("a=b ", 20000) + ">x", "<a href=\"https://a.b/" + rep("x", 100000) + "\">long</a>",
		rep("<h1>", 300) + rep("<p><b>x<hr>y</b>", 300), rep("&nbsp;", 5000), rep("<blockquote>x<br>", 3000), rep("<li>x", 5000), rep("<td>x", 5000), rep("x ", 40000), rep("x", 80000), rep("\"<&'", 8000),
		rep("<at id=0>A</at> ", 3000), rep("👩‍👩‍👧‍👦", 4000), rep("e\u0301", 20000),
	}
}

func userIDs() []id.UserID {
	var out []id.UserID
	for _, p := range directory {
		out = append(out, p.mxid)
	}
	return out
}
