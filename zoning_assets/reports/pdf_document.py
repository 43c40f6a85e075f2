"""A report as PDF, by WeasyPrint from its HTML.

WeasyPrint with Pango is a tenth of a headless Chromium to install; docs/how-to/report.md has the figures.
"""

from zoning_assets.errors import SettingInvalid

_DO = "install `zoning-assets[pdf]` and Pango (Debian: libpango-1.0-0, libpangoft2-1.0-0), or take --format html"


def pdf_document(html: str) -> bytes:
    """Convert the HTML of a report. Nothing is fetched, also no local file.

    Raises:
        SettingInvalid: WeasyPrint or Pango is not installed.
    """
    try:
        import weasyprint  # noqa: PLC0415 - optional; loads Pango
    except (ImportError, OSError) as error:
        raise SettingInvalid("PDF is not available on this machine", where="--format pdf", do=_DO) from error
    nothing = weasyprint.urls.URLFetcher(allowed_protocols=())
    pdf: bytes = weasyprint.HTML(string=html, url_fetcher=nothing).write_pdf(pdf_variant="pdf/ua-1")
    return pdf
