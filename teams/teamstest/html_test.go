package teamstest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

func TestHTMLAsTeamsKeepsIt(t *testing.T) {
	for name, c := range map[string]struct{ in, out string }{
		"free text":            {"hello", "<p>hello</p>"},
		"blocks":               {"<p>a</p><p>b</p>", "<p>a</p>\n<p>b</p>"},
		"text between blocks":  {"a<p>b</p>c <b>d</b>", "<p>a</p>\n<p>b</p>\n<p>c <b>d</b></p>"},
		"unknown attributes":   {`<p class="x" data-id="1" onclick="y" style="color:red">a</p>`, `<p style="color:red">a</p>`},
		"unknown elements":     {"<p><font color=red>a</font></p><details><summary>s</summary>d</details>", "<p>a</p>\n<p>sd</p>"},
		"deleted and sub":      {"<p><del>a</del><sub>b</sub><s>c</s></p>", "<p>ab<s>c</s></p>"},
		"scripts and comments": {"<p>a</p><script>x</script><!-- y --><style>z</style>", "<p>a</p>"},
		"links":                {`<a href="https://x.example/?a=1&b=2" ping="y">x</a> <a href="javascript:y">z</a>`, `<p><a href="https://x.example/?a=1&amp;b=2">x</a> <a>z</a></p>`},
		"entities":             {"a&nbsp;&lt;b&gt;&eacute;&quot;", `<p>a&nbsp;&lt;b&gt;é"</p>`},
		"void elements":        {"a<br/>b<hr/>", "<p>a<br>b</p>\n<hr>"},
		"code":                 {`<pre><code class="language-go">x := 1</code></pre><codeblock class="Go"><code>y</code></codeblock>`, "<pre><code>x := 1</code></pre>\n<codeblock class=\"Go\"><code>y</code></codeblock>"},
		"mention":              {`<at id="0">Ann</at> hi`, `<p><at id="0">Ann</at> hi</p>`},
		"attachment stays out": {`<attachment id="1"></attachment>text`, "<attachment id=\"1\"></attachment>\n<p>text</p>"},
		"table":                {"<table><tr><td colspan=2>a</td></tr></table>", `<table><tbody><tr><td colspan="2">a</td></tr></tbody></table>`},
		"headings":             {"<h1>a</h1><h5>b</h5>", "<h1>a</h1>\n<p>b</p>"},
		"lists":                {"<ul><li>a<ol start=3><li>b</li></ol></li></ul>", `<ul><li>a<ol start="3"><li>b</li></ol></li></ul>`},
	} {
		t.Run(name, func(t *testing.T) {
			same := func(src string) string { return src }
			out, _, err := rewriteHTML(c.in, same)
			require.NoError(t, err)
			require.Equal(t, c.out, out)
			again, _, err := rewriteHTML(out, same)
			require.NoError(t, err)
			require.Equal(t, out, again, "what Teams gave it takes back unchanged")
		})
	}
}

// FuzzRewriteHTML holds what Teams' rewriting promises for any input: it ends,
// and no element and no attribute is left that it does not know.
func FuzzRewriteHTML(f *testing.F) {
	f.Add("<p>a<b>c</b></p>")
	f.Add(`<div data-x="1" onclick="y"><script>x</script><at id="0">A</at></div>`)
	f.Add("<table><tr><td>a<table>b")
	f.Add(strings.Repeat("<b>", 511) + "x")
	f.Add("<svg><style><!--</style><img src=x onerror=y>-->")
	f.Fuzz(func(t *testing.T, source string) {
		out, _, err := rewriteHTML(source, func(src string) string { return src })
		if err != nil {
			t.Skip()
		}
		nodes, err := parseFragment(out)
		require.NoError(t, err)
		for _, n := range nodes {
			for d := range n.Descendants() {
				if d.Type != html.ElementNode || d.Data == "tbody" {
					continue
				}
				attributes, kept := keptAttributes(d.Data)
				require.True(t, kept, d.Data)
				for _, a := range d.Attr {
					require.Contains(t, attributes, a.Key)
				}
			}
		}
	})
}
